"""The demo page of a finished run: drawn on this machine by `hf-transfer demo`, or pushed as a Space."""
