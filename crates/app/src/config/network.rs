//! The Tempo networks that are known by name: their chain ids and public RPC ports, as the chain's own tools have them.

/// A network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// For people.
    pub name: &'static str,
    /// The public JSON-RPC port.
    pub rpc_url: &'static str,
    /// Whether its money is worth something.
    pub money: MoneyKind,
}

/// Whether money on a network is worth something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MoneyKind {
    /// It is.
    Real,
    /// It comes from a faucet.
    Test,
}

/// Tempo's main network.
pub const MAINNET: Network = Network {
    chain_id: 4217,
    name: "Tempo mainnet",
    rpc_url: "https://rpc.tempo.xyz",
    money: MoneyKind::Real,
};

/// Tempo's test network.
pub const MODERATO: Network = Network {
    chain_id: 42431,
    name: "Tempo Moderato (testnet)",
    rpc_url: "https://rpc.moderato.tempo.xyz",
    money: MoneyKind::Test,
};

/// `farthing sandbox` on its default port.
pub const SANDBOX: Network = Network {
    chain_id: 1337,
    name: "local sandbox",
    rpc_url: "http://127.0.0.1:8545",
    money: MoneyKind::Test,
};

/// Every known network.
pub const ALL: [Network; 3] = [MAINNET, MODERATO, SANDBOX];

/// The network with this chain id, if it is known.
pub fn by_id(chain_id: u64) -> Option<Network> {
    ALL.into_iter().find(|network| network.chain_id == chain_id)
}

/// The chain's name for people; its id where it has no name here.
pub fn name(chain_id: u64) -> String {
    by_id(chain_id)
        .map_or_else(|| format!("chain {chain_id}"), |network| format!("{} ({chain_id})", network.name))
}
