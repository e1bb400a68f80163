//! The resolvers of a small cloud: questions in, answers out.

mod corpus;
mod messages;
mod names;
mod recent;
mod switches;
mod upstream;
mod world;
mod zones;
