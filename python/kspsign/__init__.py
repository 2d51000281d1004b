"""kspsign: signs every artifact of a build with a key that stays in its HSM, and proves each signature."""
