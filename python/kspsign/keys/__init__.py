"""Key stores: what holds the private keys. `table` names them, `open` opens one, `protocol` is what each must offer."""
