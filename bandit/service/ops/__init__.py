"""What operators need of the API: health, figures, traces, and a doctor."""
