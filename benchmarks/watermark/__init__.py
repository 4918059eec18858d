"""The watermark's benchmark: pictures, attacks, backends side by side, null decisions and an attacker's bench."""
