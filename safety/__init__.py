"""Policy, prompt filter, content filter and watermark."""
