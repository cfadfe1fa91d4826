"""Instance norm: the layer, its operators, and the backends that compute them."""
