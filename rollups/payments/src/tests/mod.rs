mod checker;
mod fixture;
mod hashing;
mod hostile;
mod proving;
mod soundness;
mod states;
mod wallets;
