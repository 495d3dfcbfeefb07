"""Django settings: one module per way of running, over one typed reader of the environment."""
