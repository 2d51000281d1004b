"""What is inside the containers of a run: taken out into a private folder, worked on first, and put back."""
