"""Problems of the syncing runs, and the notifications about them."""
