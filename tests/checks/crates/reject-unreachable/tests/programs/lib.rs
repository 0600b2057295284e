mod inside {
    pub fn one() -> u8 {
        1
    }
}

pub fn two() -> u8 {
    inside::one() + 1
}
