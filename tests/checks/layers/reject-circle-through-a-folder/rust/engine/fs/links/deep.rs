use crate::fs::names::Name; pub struct Link;
