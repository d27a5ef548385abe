mod fixture;
mod hashing;
mod proving;
