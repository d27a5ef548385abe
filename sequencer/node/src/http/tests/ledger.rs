//! What proves outcomes: a ledger that a final block names, and the chain of digests up to it.

use bincode::Decode;
use conclave_light::{EntryProof, verify_settled, verify_stream};
use conclave_sdk::api::{LedgerProofView, LinksView, ProvenEntryView};
use conclave_types::{
    Block, BlockHeader, Digest, Height, RollupId, Settled, Stream, StreamLink, TxIndex, codec,
};

use super::chain::{Chain, ROLLUP};
use super::server::Server;
use crate::backend::Backend;

fn read<V: Decode<()>>(text: &str) -> V {
    codec::decode(&hex::decode(text).expect("hexadecimal"), 1 << 16).expect("canonical")
}

fn entry<V: Decode<()>>(view: &ProvenEntryView) -> (V, EntryProof) {
    (read(&view.value), read(&view.proof))
}

fn header(view: &LedgerProofView) -> BlockHeader {
    read::<Block>(&view.block.block).header
}

async fn proof(server: &Server) -> LedgerProofView {
    server.json("/v1/rollups/7/ledger-proof").await
}

#[tokio::test]
async fn a_rollups_entries_verify_under_the_root_that_the_block_names() {
    let server = Server::start(Chain::with_market()).await;
    let view = proof(&server).await;
    let header = header(&view);
    assert_eq!(
        (header.height, header.ledger_height),
        (Height(6), Height(5))
    );
    assert_eq!(view.ledger_height, 5);
    let (stream, path) = entry::<Stream>(&view.stream);
    assert_eq!(verify_stream(&header, ROLLUP, &stream, &path), Ok(()));
    assert!(verify_stream(&header, RollupId(8), &stream, &path).is_err());
    assert_eq!(
        (stream.registered, stream.next, stream.height),
        (Height(1), TxIndex(2), Height(2))
    );
    let (settled, path) = entry::<Settled>(view.settled.as_ref().expect("settled"));
    assert_eq!(verify_settled(&header, ROLLUP, &settled, &path), Ok(()));
    assert_eq!(settled.next, TxIndex(2));
    let other = Settled {
        next: TxIndex(3),
        ..settled
    };
    assert!(verify_settled(&header, ROLLUP, &other, &path).is_err());

    let system: LedgerProofView = server.json("/v1/rollups/0/ledger-proof").await;
    let (stream, path) = entry::<Stream>(&system.stream);
    assert_eq!(
        verify_stream(&header, RollupId::SYSTEM, &stream, &path),
        Ok(())
    );
    assert_eq!(system.settled, None);
    server
        .refused("GET", "/v1/rollups/9/ledger-proof", 404, "CV-API-009")
        .await;
}

#[tokio::test]
async fn a_ledger_is_proven_as_soon_as_an_executed_block_names_it() {
    let chain = Chain::new();
    let server = Server::start(chain.clone()).await;
    server
        .refused("GET", "/v1/rollups/0/ledger-proof", 503, "CV-API-013")
        .await;
    chain.commit(&[]);
    let named = |chain: &Chain| {
        let named = chain.named_ledger().expect("one");
        (named.ledger.height().0, named.named_by.0)
    };
    assert_eq!(named(&chain), (0, 1));

    // Headers trail.
    chain.commit(&[]);
    chain.commit(&[]);
    assert_eq!(named(&chain), (2, 3));
    chain.name(2);
    (0..5).for_each(|_| chain.commit(&[]));
    assert_eq!(named(&chain), (2, 8));
    chain.name(6);
    chain.commit(&[]);
    assert_eq!(named(&chain), (6, 9));

    // They trail by more than is kept: the last proven one stays, until they catch up.
    chain.name(7);
    chain.commit(&[]);
    chain.name(8);
    (0..60).for_each(|_| chain.commit(&[]));
    let stuck = named(&chain);
    assert_eq!(stuck.0, 8);
    assert!(stuck.1 < 50);
    chain.name(60);
    chain.commit(&[]);
    assert_eq!(named(&chain), (60, 71));
}

#[tokio::test]
async fn links_lead_from_any_height_to_the_streams_digest() {
    let chain = Chain::with_market();
    let server = Server::start(chain.clone()).await;
    let stream = *chain.ledger().stream(ROLLUP).expect("registered");
    for (from, limit, heights) in [
        (0, 5, vec![2, 6]),
        (1, 1, vec![2]),
        (2, 5, vec![2, 6]),
        (3, 1, vec![6]),
        (7, 5, vec![]),
    ] {
        let path = format!("/v1/rollups/7/links?from_height={from}&limit={limit}");
        let view: LinksView = server.json(&path).await;
        let found: Vec<u64> = view.links.iter().map(|link| link.height).collect();
        assert_eq!(found, heights, "{path}");
        // A full page ends at its last link.
        let to = if limit == 1 { heights[0] } else { 6 };
        assert_eq!(view.to_height, to, "{path}");
        let mut digest: Digest = view.digest.parse().expect("a digest");
        for link in &view.links {
            let link = StreamLink {
                height: Height(link.height),
                entries: link.entries.parse().expect("a digest"),
            };
            digest = link.digest(&digest);
        }
        if view.to_height == 6 {
            assert_eq!(digest, stream.digest, "{path}");
        }
    }
    for (path, status, code) in [
        ("/v1/rollups/9/links", 404, "CV-API-009"),
        ("/v1/rollups/7/links?limit=0", 400, "CV-API-002"),
        ("/v1/rollups/7/links?limit=1001", 400, "CV-API-002"),
        ("/v1/rollups/7/links?to_height=2", 400, "CV-API-002"),
    ] {
        server.refused("GET", path, status, code).await;
    }
}
