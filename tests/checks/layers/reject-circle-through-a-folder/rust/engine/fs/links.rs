mod deep;
pub use deep::Link;
