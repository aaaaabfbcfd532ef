"""What runs beside the service."""
