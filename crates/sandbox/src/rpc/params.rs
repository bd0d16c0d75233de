//! Reads positional parameters, and says which one is wrong.

use super::error::RpcError;
use crate::block::Block;
use crate::chain::Chain;
use alloy_primitives::{B256, U256};
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use std::sync::Arc;

/// The parameters of one call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Params(Vec<Value>);

impl Params {
    /// Parameters are an array, or absent.
    pub(crate) fn of(value: Option<Value>) -> Result<Self, RpcError> {
        match value {
            None | Some(Value::Null) => Ok(Self::default()),
            Some(Value::Array(list)) => Ok(Self(list)),
            Some(_) => Err(RpcError::invalid_params("params must be an array")),
        }
    }

    pub(crate) fn required<T: DeserializeOwned>(&self, index: usize, name: &str) -> Result<T, RpcError> {
        self.optional(index, name)?
            .ok_or_else(|| RpcError::invalid_params(format!("params[{index}] ({name}) is missing")))
    }

    pub(crate) fn optional<T: DeserializeOwned>(
        &self,
        index: usize,
        name: &str,
    ) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => T::deserialize(value)
                .map(Some)
                .map_err(|error| RpcError::invalid_params(format!("params[{index}] ({name}): {error}"))),
        }
    }

    /// The block that a method is asked about: the newest one unless said otherwise.
    pub(crate) fn block(&self, chain: &Chain, index: usize) -> Result<Arc<Block>, RpcError> {
        let id = self.optional::<BlockId>(index, "block")?.unwrap_or(BlockId::Latest);
        find_block(chain, id)?
            .ok_or_else(|| RpcError::not_found("the block is unknown, or older than what is kept"))
    }
}

/// A 64-bit quantity: `0x` and hexadecimal digits, or a JSON number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Quantity(pub(crate) u64);

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wide = U256::deserialize(deserializer)?;
        u64::try_from(wide).map(Self).map_err(|_| D::Error::custom("quantity is larger than 64 bits"))
    }
}

/// How a block is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockId {
    /// The newest block; here also "pending", "safe" and "finalized".
    Latest,
    /// The oldest block that is kept.
    Earliest,
    /// By number.
    Number(u64),
    /// By hash.
    Hash(B256),
}

impl<'de> Deserialize<'de> for BlockId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// EIP-1898.
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Object {
            block_number: Option<Quantity>,
            block_hash: Option<B256>,
        }
        match Value::deserialize(deserializer)? {
            Value::String(text) => match text.as_str() {
                "latest" | "pending" | "safe" | "finalized" => Ok(Self::Latest),
                "earliest" => Ok(Self::Earliest),
                hash if hash.len() == 66 => hash.parse().map(Self::Hash).map_err(D::Error::custom),
                _ => Quantity::deserialize(Value::String(text))
                    .map(|q| Self::Number(q.0))
                    .map_err(D::Error::custom),
            },
            Value::Object(object) => {
                let object = Object::deserialize(Value::Object(object)).map_err(D::Error::custom)?;
                match (object.block_hash, object.block_number) {
                    (Some(hash), None) => Ok(Self::Hash(hash)),
                    (None, Some(number)) => Ok(Self::Number(number.0)),
                    _ => Err(D::Error::custom("give blockHash or blockNumber")),
                }
            }
            number => Quantity::deserialize(number).map(|q| Self::Number(q.0)).map_err(D::Error::custom),
        }
    }
}

/// A block by name; none if it is not there.
pub(crate) fn find_block(chain: &Chain, id: BlockId) -> Result<Option<Arc<Block>>, RpcError> {
    let ledger = chain.lock();
    Ok(match id {
        BlockId::Latest => Some(Arc::clone(ledger.head())),
        BlockId::Earliest => ledger.block(ledger.oldest()).cloned(),
        BlockId::Number(number) => ledger.block(number).cloned(),
        BlockId::Hash(hash) => ledger.block_by_hash(hash).cloned(),
    })
}
