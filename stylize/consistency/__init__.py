"""Is a set one look? Audits, brand jobs, reports."""
