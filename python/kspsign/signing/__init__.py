"""Stage 2: signing by thumbprint. Engines create signed copies next to their targets; nothing is replaced
unverified."""
