"""Object stores: list, get, put, and who may write."""
