//! What the end-to-end tests share.

pub mod chaos;
pub mod contract;
pub mod corpus;
pub mod disk;
pub mod hostile;
pub mod prebuilt;
pub mod project;
pub mod shown;
