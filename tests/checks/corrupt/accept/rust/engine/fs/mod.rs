use latch::prelude::EUCLEAN;

/// EUCLEAN in words is none.
fn f(error: Error) -> bool {
    match error {
        EUCLEAN => true,
        _ => error == EUCLEAN || EUCLEAN == error,
    }
}
