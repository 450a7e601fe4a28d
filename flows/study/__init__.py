"""The leave-one-domain-out study."""
