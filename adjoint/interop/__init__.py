"""From torch programs, and to them."""
