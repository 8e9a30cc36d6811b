//! Documents that are leaves of a tree whose root is signed: the root vouches for all of them at once.

use core::fmt;
use core::marker::PhantomData;

use minicbor::encode::Write;
use minicbor::{Decode, Decoder, Encode, Encoder};

use crate::codec::{self, DecodeError};
use crate::merkle::{self, MerkleTree, Node};
use crate::signed::Document;

/// A document with its place among the leaves of a tree, and the way from there to the root. It carries no signature: who has verified
/// the root needs none.
pub struct Listed<T> {
    payload: Vec<u8>,
    index: u32,
    path: Vec<Node>,
    document: PhantomData<fn() -> T>,
}

/// A document that a root does not vouch for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotListed {
    /// The way does not lead to the root.
    #[error("its proof does not lead to the root of the directory")]
    Proof,
    /// It is a leaf, but not such a document.
    #[error("payload: {0}")]
    Payload(#[from] DecodeError),
}

impl<T: Document> Listed<T> {
    /// The leaf that a document is. A signature is not part of it: ECDSA allows a second one.
    pub fn leaf(payload: &[u8]) -> Node {
        merkle::document_leaf(T::LABEL, payload)
    }

    /// The document that is leaf `index` of `tree`; `None` where there is no such leaf.
    pub fn new(tree: &MerkleTree, index: u32, payload: Vec<u8>) -> Option<Self> {
        Some(Self { payload, index, path: tree.path(index)?, document: PhantomData })
    }

    /// Checks that the document is in the tree of `count` leaves with this root, and only then decodes it.
    pub fn verify(&self, root: &Node, count: u32) -> Result<T, NotListed> {
        if !merkle::verify(root, count, self.index, Self::leaf(&self.payload), &self.path) {
            return Err(NotListed::Proof);
        }
        Ok(codec::decode_strict(&self.payload)?)
    }

    /// Decodes the document without looking at the proof: for those who only route or index it.
    pub fn unverified(&self) -> Result<T, DecodeError> {
        codec::decode_strict(&self.payload)
    }
}

impl<T> Listed<T> {
    /// The document's bytes.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }
}

impl<T> Clone for Listed<T> {
    fn clone(&self) -> Self {
        Self { payload: self.payload.clone(), index: self.index, path: self.path.clone(), document: PhantomData }
    }
}

impl<T> PartialEq for Listed<T> {
    fn eq(&self, other: &Self) -> bool {
        self.payload == other.payload && self.index == other.index && self.path == other.path
    }
}

impl<T> Eq for Listed<T> {}

impl<T> fmt::Debug for Listed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listed({} bytes, leaf {})", self.payload.len(), self.index)
    }
}

impl<C, T> Encode<C> for Listed<T> {
    fn encode<W: Write>(&self, encoder: &mut Encoder<W>, ctx: &mut C) -> Result<(), minicbor::encode::Error<W::Error>> {
        encoder.array(3)?.bytes(&self.payload)?.u32(self.index)?;
        codec::digests::encode(&self.path, encoder, ctx)
    }
}

impl<'b, C, T> Decode<'b, C> for Listed<T> {
    fn decode(decoder: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, minicbor::decode::Error> {
        if decoder.array()? != Some(3) {
            return Err(codec::invalid("listed document: expected an array of payload, index and path"));
        }
        let payload = decoder.bytes()?.to_vec();
        let index = decoder.u32()?;
        let path = codec::digests::decode(decoder, ctx)?;
        Ok(Self { payload, index, path, document: PhantomData })
    }
}
