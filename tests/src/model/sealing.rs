//! Keyed hashes in place of threshold encryption, with its rules: a quorum of right shares opens,
//! fewer do not, and a wrong share or a wrong seal shows.

use conclave_crypto::{Committee, ShareProofs, ShareRow, share_list, share_rows, wrong_shares};
use conclave_seal::{Liar, OpenResult, SealScheme, Verdict};
use conclave_types::{
    BatchedDleq, Digest, Domain, EdSignature, Envelope, EnvelopeCore, EnvelopeHeader, Payload,
    Point, Scalar, SealedKey, SealingKey, ShareBundle, ShareContext, Signers, ValidatorIndex,
    WrongShares, codec, limits,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use conclave_crypto::EdSecret;

use super::malformed::malformed;

const TAG_BYTES: usize = 16;

/// The model for one node, or for a reader that holds no shares.
pub(crate) struct ModelSeal {
    seed: u64,
    own: Option<ValidatorIndex>,
    committee: Committee,
}

impl ModelSeal {
    pub(crate) fn new(seed: u64, own: Option<ValidatorIndex>, committee: Committee) -> Self {
        Self {
            seed,
            own,
            committee,
        }
    }

    fn hash(&self, what: &[u8], parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = Domain::Simulation
            .hasher()
            .part(what)
            .part(&self.seed.to_le_bytes());
        for part in parts {
            hasher = hasher.part(part);
        }
        hasher.digest().0
    }

    fn share(&self, index: ValidatorIndex, at: u16, c: &Point) -> Point {
        Point(self.hash(b"share", &[&index.0.to_le_bytes(), &at.to_le_bytes(), &c.0]))
    }

    /// The shares that a member should make.
    fn points_of(&self, member: ValidatorIndex, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
        let share = |at, header| self.share(member, at, &sealed_point(header));
        let points = |at| headers.iter().map(|header| share(at, header)).collect();
        (0..self.committee.weight(member)).map(points).collect()
    }

    fn mask(&self, c: &Point) -> [u8; 32] {
        self.hash(b"mask", &[&c.0])
    }

    fn commitment(&self, m: &Point, label: &Digest) -> Point {
        Point(self.hash(b"commitment", &[&m.0, &label.0]))
    }

    fn prove(&self, row: &ShareRow<'_>) -> BatchedDleq {
        BatchedDleq {
            challenge: Scalar(self.hash(b"row", &[&row.digest().0])),
            response: Scalar([0; 32]),
        }
    }

    /// What shows the first wrong part of a bundle of this list.
    fn evidence(
        &self,
        headers: &[&EnvelopeHeader],
        bundle: &ShareBundle,
    ) -> Option<Box<WrongShares>> {
        let points: Vec<Point> = headers.iter().map(|header| sealed_point(header)).collect();
        let parts: Vec<&[Point]> = points.chunks(limits::SHARE_PART_ENVELOPES_MAX).collect();
        let mut rows = share_rows(bundle);
        let part = |row: &ShareRow<'_>| parts.get(row.part as usize).copied().unwrap_or_default();
        let (row, _) = rows.find(|(row, proof)| !self.holds(row, part(row), proof))?;
        wrong_shares(bundle, (row.key, row.part), part(&row)).map(Box::new)
    }

    /// Seals; with `broken`, to something that no opening fits.
    fn seal(
        &self,
        mut core: EnvelopeCore,
        plaintext: &[u8],
        random: &mut ChaCha20Rng,
        payer: &EdSecret,
        broken: bool,
    ) -> Envelope {
        core.bucket = conclave_seal::bucket_for(plaintext.len()).expect("small plaintexts");
        let mut m = Point([0; 32]);
        random.fill_bytes(&mut m.0);
        let mut body = vec![0; core.bucket.plaintext_bytes() + TAG_BYTES];
        body[..4].copy_from_slice(&(plaintext.len() as u32).to_le_bytes());
        body[4..4 + plaintext.len()].copy_from_slice(plaintext);
        self.cover(&m, &mut body);
        let body_digest = Domain::EnvelopeBody.digest(&body);
        let label = label(&core, body.len(), &body_digest);
        let mut c = self.commitment(&m, &label);
        if broken {
            c.0[0] ^= 1;
        }
        let mut d = Point(self.mask(&c));
        d.0.iter_mut().zip(&m.0).for_each(|(d, m)| *d ^= m);
        let proof = Point(self.hash(b"proof", &[&label.0, &c.0, &d.0]));
        let key = SealedKey {
            c,
            d,
            c_bar: proof,
            commitment: Point([1; 32]),
            commitment_bar: Point([1; 32]),
            response: Scalar([1; 32]),
        };
        let body_bytes = body.len() as u32;
        let mut header = EnvelopeHeader {
            core,
            body_bytes,
            body_digest,
            payload: Payload::Sealed(key),
            signature: EdSignature([0; 64]),
        };
        header.signature = payer.sign(&header.signing_digest());
        Envelope { header, body }
    }

    fn cover(&self, m: &Point, body: &mut [u8]) {
        let mut pad = vec![0; body.len()];
        ChaCha20Rng::from_seed(self.hash(b"body", &[&m.0])).fill_bytes(&mut pad);
        body.iter_mut()
            .zip(&pad)
            .for_each(|(byte, pad)| *byte ^= pad);
    }
}

fn label(core: &EnvelopeCore, body_bytes: usize, body_digest: &Digest) -> Digest {
    let hasher = Domain::SealLabel.hasher().part(&codec::encode(core));
    hasher
        .part(&(body_bytes as u64).to_le_bytes())
        .part(&body_digest.0)
        .digest()
}

fn key_of(header: &EnvelopeHeader) -> Option<&SealedKey> {
    match &header.payload {
        Payload::Sealed(key) => Some(key),
        Payload::Plain => None,
    }
}

/// The digests of the parts of a list.
fn lists(headers: &[&EnvelopeHeader]) -> Vec<Digest> {
    let points: Vec<Point> = headers.iter().map(|header| sealed_point(header)).collect();
    let parts = points.chunks(limits::SHARE_PART_ENVELOPES_MAX);
    parts.map(share_list).collect()
}

fn sealed_point(header: &EnvelopeHeader) -> Point {
    key_of(header).expect("sealed headers only").c
}

/// A proof is a hash of the row, and holds if the shares are right.
impl ShareProofs for ModelSeal {
    fn holds(&self, row: &ShareRow<'_>, sealed: &[Point], proof: &BatchedDleq) -> bool {
        let right = |(c, share): (&Point, &Point)| self.share(row.signer, row.key, c) == *share;
        sealed.len() == row.shares.len()
            && sealed.iter().zip(row.shares).all(right)
            && *proof == self.prove(row)
    }
}

impl SealScheme for ModelSeal {
    fn check(&self, headers: &[&EnvelopeHeader]) -> Vec<bool> {
        let valid = |header: &&EnvelopeHeader| {
            key_of(header).is_some_and(|key| {
                let label = label(
                    &header.core,
                    header.body_bytes as usize,
                    &header.body_digest,
                );
                key.c_bar.0 == self.hash(b"proof", &[&label.0, &key.c.0, &key.d.0])
            })
        };
        headers.iter().map(valid).collect()
    }

    fn share_points(&self, headers: &[&EnvelopeHeader]) -> Vec<Vec<Point>> {
        self.own
            .map_or_else(Vec::new, |own| self.points_of(own, headers))
    }

    fn bundle(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        points: Vec<Vec<Point>>,
    ) -> Option<ShareBundle> {
        let lists = lists(headers);
        let unproven = BatchedDleq {
            challenge: Scalar([0; 32]),
            response: Scalar([0; 32]),
        };
        let mut bundle = ShareBundle {
            context,
            signer: self.own?,
            proofs: vec![vec![unproven; lists.len()]; points.len()],
            shares: points,
            lists,
            signature: EdSignature([0; 64]),
        };
        let proofs: Vec<BatchedDleq> = share_rows(&bundle)
            .map(|(row, _)| self.prove(&row))
            .collect();
        let parts = bundle.lists.len().max(1);
        bundle.proofs = proofs.chunks(parts).map(<[_]>::to_vec).collect();
        Some(bundle)
    }

    fn open(
        &self,
        context: ShareContext,
        headers: &[&EnvelopeHeader],
        bundles: &[ShareBundle],
    ) -> OpenResult {
        let lists = lists(headers);
        let (mut honest, mut liars) = (Signers::default(), Vec::new());
        for bundle in bundles.iter().filter(|bundle| bundle.context == context) {
            if bundle.lists == lists && bundle.shares == self.points_of(bundle.signer, headers) {
                honest.insert(bundle.signer);
                continue;
            }
            liars.push(Liar {
                validator: bundle.signer,
                evidence: match bundle.lists == lists {
                    true => self.evidence(headers, bundle),
                    false => None,
                },
            });
        }
        if !self.committee.has_quorum(&honest) {
            return OpenResult {
                verdicts: None,
                liars,
            };
        }
        let open = |header: &&EnvelopeHeader| {
            let key = key_of(header).expect("sealed headers only");
            let mut m = Point(self.mask(&key.c));
            m.0.iter_mut().zip(&key.d.0).for_each(|(m, d)| *m ^= d);
            match self.verify_opening(header, &m) {
                true => Verdict::Opened(m),
                false => Verdict::Malformed,
            }
        };
        OpenResult {
            verdicts: Some(headers.iter().map(open).collect()),
            liars,
        }
    }

    fn verify_openings(&self, openings: &[(&EnvelopeHeader, Point)]) -> Vec<bool> {
        let verify = |(header, m): &(&EnvelopeHeader, Point)| {
            let label = label(
                &header.core,
                header.body_bytes as usize,
                &header.body_digest,
            );
            key_of(header).is_some_and(|key| self.commitment(m, &label) == key.c)
        };
        openings.iter().map(verify).collect()
    }

    fn decrypt(&self, envelope: &Envelope, m: &Point) -> Option<Vec<u8>> {
        let mut body = envelope.body.clone();
        self.cover(m, &mut body);
        let bytes = u32::from_le_bytes(*body.first_chunk()?) as usize;
        body.get(4..4 + bytes).map(<[u8]>::to_vec)
    }
}

/// How clients seal.
pub(crate) enum Sealer {
    Model(ModelSeal),
    Real(SealingKey),
}

impl Sealer {
    /// Seals a plaintext; with `broken`, to a seal that passes admission and holds no right M.
    pub(crate) fn seal(
        &self,
        mut core: EnvelopeCore,
        plaintext: &[u8],
        random: &mut ChaCha20Rng,
        payer: &EdSecret,
        broken: bool,
    ) -> Envelope {
        match self {
            Self::Model(model) => model.seal(core, plaintext, random, payer, broken),
            Self::Real(key) => {
                core.bucket = conclave_seal::bucket_for(plaintext.len()).expect("small plaintexts");
                if broken {
                    return malformed(&key.key, core, random, payer);
                }
                conclave_seal::seal(&key.key, core, plaintext, random, |digest| {
                    payer.sign(digest)
                })
                .expect("seals")
            }
        }
    }
}
