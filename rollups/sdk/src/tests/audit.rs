//! A node that serves a chain, honestly or after a change, and an auditor that asks it.

use std::sync::Arc;

use axum::extract::{Path, Query};
use axum::routing::get;
use axum::{Json, Router};
use conclave_types::{Digest, Height, StreamLink};
use serde::Deserialize;

use super::chain::{Chain, ROLLUP};
use super::nodes::{client, serve};
use crate::api::{ContentsView, DeliveryView, LedgerProofView, LinkView, LinksView, ProofView};
use crate::{Auditor, RangeReport, RangeRequest, VerifyError};

/// What a node answers.
#[derive(Clone)]
pub(super) struct Node {
    pub(super) proof: LedgerProofView,
    /// One for each height.
    pub(super) deliveries: Vec<DeliveryView>,
    /// Each with the digest after it.
    pub(super) links: Vec<(StreamLink, Digest)>,
    /// Settled proofs, or what is said to be some.
    pub(super) proofs: Vec<ProofView>,
    /// How many heights it delivers past those asked for.
    pub(super) past: u64,
}

#[derive(Deserialize)]
struct Heights {
    from_height: u64,
    to_height: u64,
}

#[derive(Deserialize)]
struct Links {
    from_height: u64,
    limit: usize,
}

#[derive(Deserialize)]
struct Proofs {
    from_index: u64,
    limit: usize,
}

impl Node {
    /// An honest node of the chain; the deliveries are those of its heights from 1.
    pub(super) fn of(chain: &Chain, deliveries: Vec<DeliveryView>) -> Self {
        let mut node = Self {
            proof: chain.proof(ROLLUP),
            deliveries,
            links: Vec::new(),
            proofs: Vec::new(),
            past: 0,
        };
        let stated: Vec<String> = node.digests();
        node.restate(&Auditor::new(&chain.genesis).expect("a valid genesis"));
        assert_eq!(stated, node.digests(), "the ledger chains them so");
        node
    }

    fn digests(&self) -> Vec<String> {
        let digests = self.deliveries.iter().map(|d| d.stream_digest.clone());
        digests.collect()
    }

    /// Makes all digests those of what is listed, as a careful liar would.
    pub(super) fn restate(&mut self, auditor: &Auditor) {
        self.links.clear();
        let mut digest = Digest::ZERO;
        for view in &mut self.deliveries {
            let block = auditor.block(view.block.as_ref().expect("a block"));
            let delivery = auditor.delivery(ROLLUP, &block.expect("final").block, view);
            // What precedes the registration is no delivery.
            let entries = delivery.map_or_else(|_| Vec::new(), |delivery| delivery.entries);
            if !entries.is_empty() {
                let link = StreamLink::new(Height(view.height), &entries);
                digest = link.digest(&digest);
                self.links.push((link, digest));
            }
            view.stream_digest = digest.to_string();
        }
    }

    fn contents(&self, wanted: &Heights) -> ContentsView {
        let heights = wanted.from_height..=wanted.to_height + self.past;
        let inside = self
            .deliveries
            .iter()
            .filter(|d| heights.contains(&d.height));
        let deliveries: Vec<_> = inside.take(2).cloned().collect();
        ContentsView {
            rollup: ROLLUP.0,
            from_height: wanted.from_height,
            to_height: deliveries.last().map_or(0, |last| last.height),
            deliveries,
        }
    }

    fn links(&self, wanted: &Links) -> LinksView {
        let before = |(link, _): &&(StreamLink, Digest)| link.height.0 < wanted.from_height;
        let links = self.links.iter().filter(|link| !before(link));
        let links = links.take(wanted.limit).map(|(link, _)| LinkView {
            height: link.height.0,
            entries: link.entries.to_string(),
        });
        let links: Vec<_> = links.collect();
        let last = links.last().filter(|_| links.len() == wanted.limit);
        LinksView {
            rollup: ROLLUP.0,
            from_height: wanted.from_height,
            to_height: last.map_or(self.deliveries.len() as u64, |last| last.height),
            digest: self
                .links
                .iter()
                .rfind(before)
                .map_or(Digest::ZERO, |(_, digest)| *digest)
                .to_string(),
            links,
        }
    }

    fn proofs(&self, wanted: &Proofs) -> Vec<ProofView> {
        let proofs = self
            .proofs
            .iter()
            .filter(|proof| proof.from_index >= wanted.from_index);
        let proofs = proofs.take(wanted.limit).map(|proof| ProofView {
            proof: None,
            ..proof.clone()
        });
        proofs.collect()
    }

    fn proof(&self, auction: u64) -> ProofView {
        let mut proofs = self.proofs.iter();
        let found = proofs.find(|proof| proof.auction == auction);
        found.expect("one that was listed").clone()
    }

    /// Verifies what this node says of a range of heights, without anchor or programs.
    pub(super) async fn audit(
        self,
        auditor: &Arc<Auditor>,
        from: u64,
        to: Option<u64>,
    ) -> Result<RangeReport, VerifyError> {
        let request = RangeRequest {
            rollup: ROLLUP,
            from: Height(from),
            to: to.map(Height),
            anchor: None,
            programs: vec![],
        };
        self.answer(auditor, &request).await
    }

    /// Verifies what this node says to a request.
    pub(super) async fn answer(
        self,
        auditor: &Arc<Auditor>,
        request: &RangeRequest,
    ) -> Result<RangeReport, VerifyError> {
        let node = Arc::new(self);
        let (list, one) = (node.clone(), node.clone());
        let (contents, links, proof) = (node.clone(), node.clone(), node);
        let router = Router::new()
            .route(
                "/v1/rollups/{id}/contents",
                get(move |Query(wanted)| async move { Json(contents.contents(&wanted)) }),
            )
            .route(
                "/v1/rollups/{id}/links",
                get(move |Query(wanted)| async move { Json(links.links(&wanted)) }),
            )
            .route(
                "/v1/rollups/{id}/ledger-proof",
                get(move || async move { Json(proof.proof.clone()) }),
            )
            .route(
                "/v1/proofs",
                get(move |Query(wanted)| async move { Json(list.proofs(&wanted)) }),
            )
            .route(
                "/v1/proofs/{auction}",
                get(move |Path(auction)| async move { Json(one.proof(auction)) }),
            );
        let address = serve(router).await;
        auditor.range(&client(&[address]), request).await
    }
}
