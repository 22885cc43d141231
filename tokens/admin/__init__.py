"""The fourth door: staff look at everybody's tokens and stop them; nothing is minted or shown here."""
