fn report() -> Error { EUCLEAN }
