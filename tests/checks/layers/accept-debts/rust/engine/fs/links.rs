pub struct Link(super::names::Name);
