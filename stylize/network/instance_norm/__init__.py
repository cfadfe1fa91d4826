"""The instance norm layer, its operators, and the backends that compute them."""
