"""What may be recorded and shown: redaction."""
