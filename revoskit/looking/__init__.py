"""Pictures, videos, and the page that shows where a method fails."""
