"""Files as references: their text in passages, each with an anchor (a page, a heading, lines, a cell, rows)."""
