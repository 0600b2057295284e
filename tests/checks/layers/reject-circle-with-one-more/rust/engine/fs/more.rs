use super::links::Link;
