//! Who is sent what of a lane, and when: exact actions, in a committee of nineteen.

use conclave_types::{
    BlockId, Digest, EdSignature, Epoch, LaneKind, Payload, Point, Scalar, SealedKey, ShareBundle,
    ShareGroup,
};

use super::*;
use crate::message::Message;
use crate::tests::{committee_of, committee_with_a_leaver};

const OWN: ValidatorIndex = ValidatorIndex(0);
const LANE: Key = (Height(1), LaneKind::OnCommit.of(Epoch(0)));

fn context(group: ShareGroup) -> ShareContext {
    ShareContext {
        block: BlockId(Digest([7; 32])),
        height: LANE.0,
        lane: LANE.1,
        group,
    }
}

fn envelopes(count: usize) -> Vec<Arc<EnvelopeHeader>> {
    let point = Point([0; 32]);
    let envelope = |number: usize| {
        let mut header = crate::tests::batch(1, &number.to_le_bytes()).envelopes[0]
            .header
            .clone();
        header.core.epoch = Epoch(0);
        header.payload = Payload::Sealed(SealedKey {
            c: point,
            d: point,
            c_bar: point,
            commitment: point,
            commitment_bar: point,
            response: Scalar([0; 32]),
        });
        Arc::new(header)
    };
    (0..count).map(envelope).collect()
}

fn bundle(context: ShareContext, signer: ValidatorIndex) -> ShareBundle {
    ShareBundle {
        context,
        signer,
        lists: vec![],
        shares: vec![],
        proofs: vec![],
        signature: EdSignature([0; 64]),
    }
}

/// A lane of two groups, one of which we may combine.
struct Fixture {
    committee: Committee,
    openings: Openings,
    groups: Vec<ValidatorIndex>,
    sizes: Vec<usize>,
}

impl Fixture {
    /// The lane was started at 0, and our shares are made.
    fn new() -> Self {
        let committee = committee_of(&[1; 19]);
        let mut openings = Openings::default();
        openings.start(
            context(ShareGroup::Whole),
            envelopes(12),
            Arc::new(committee.clone()),
            0,
        );
        let groups = openings.groups(LANE);
        let opener = |context: &ShareContext| match context.group {
            ShareGroup::Of(opener) => opener,
            ShareGroup::Whole => panic!("nineteen have openers"),
        };
        let own = groups.iter().map(|(context, _)| bundle(*context, OWN));
        openings.own(LANE, own.collect());
        Self {
            committee,
            openings,
            groups: groups.iter().map(|(context, _)| opener(context)).collect(),
            sizes: groups
                .iter()
                .map(|(_, envelopes)| envelopes.len())
                .collect(),
        }
    }

    /// What this validator would send of the lane at a time.
    fn due(&mut self, own: ValidatorIndex, now: u64) -> Vec<String> {
        let actions = self.openings.due(LANE, own, now);
        actions.iter().map(|action| self.text(action)).collect()
    }

    fn text(&self, action: &Action) -> String {
        let message = |message: &Message| match message {
            Message::Shares(bundle) => format!("shares {}", self.name(bundle.context.group)),
            Message::Openings(said) => {
                let malformed = said.verdicts.contains(&Verdict::Malformed);
                let what = if malformed { "doubts" } else { "openings" };
                format!("{what} {}", self.name(said.context.group))
            }
            other => format!("{other:?}"),
        };
        match action {
            Action::Send { to, message: sent } => format!("{} to {to}", message(sent)),
            Action::Broadcast(sent) => format!("{} to all", message(sent)),
            Action::Fetch(_) => "fetch".into(),
            other => format!("{other:?}"),
        }
    }

    fn name(&self, group: ShareGroup) -> usize {
        let of = |opener: &ValidatorIndex| ShareGroup::Of(*opener) == group;
        self.groups
            .iter()
            .position(of)
            .expect("a group of the lane")
    }

    fn context(&self, group: usize) -> ShareContext {
        context(ShareGroup::Of(self.groups[group]))
    }

    fn after(&self, group: usize, turn: u16) -> ValidatorIndex {
        ValidatorIndex((self.groups[group].0 + turn) % 19)
    }

    /// The verdicts of a group: all opened, or the first one malformed.
    fn verdicts(&self, group: usize, malformed: bool) -> Vec<Verdict> {
        let mut verdicts = vec![Verdict::Opened(Point([5; 32])); self.sizes[group]];
        if malformed {
            verdicts[0] = Verdict::Malformed;
        }
        verdicts
    }

    fn opens(&mut self, group: usize, malformed: bool) {
        let result = OpenResult {
            verdicts: Some(self.verdicts(group, malformed)),
            liars: vec![],
        };
        let context = self.context(group);
        self.openings.finish(context, result, None, 13);
    }

    fn hears(&mut self, from: u16, group: usize, malformed: bool) {
        let said = GroupOpenings {
            context: self.context(group),
            verdicts: self.verdicts(group, malformed),
        };
        self.openings.claim(ValidatorIndex(from), said, Height(0));
    }

    /// Somebody who combines neither group in any turn.
    fn bystander(&self) -> ValidatorIndex {
        let combines = |own: &ValidatorIndex| {
            (0..2).any(|group| (0..6).any(|turn| self.after(group, turn) == *own))
        };
        let mut others = self.committee.indices().filter(|own| !combines(own));
        others.next().expect("two groups of nineteen")
    }
}

#[test]
fn shares_go_to_the_openers_then_to_one_more_each_turn_then_to_all() {
    let mut lane = Fixture::new();
    let own = lane.bystander();
    let shares = |lane: &Fixture, group, turn| {
        let to = lane.after(group, turn);
        format!("shares {group} to {to}")
    };
    let first: Vec<String> = [(0, 0), (0, 1), (1, 0), (1, 1)]
        .map(|(group, turn)| shares(&lane, group, turn))
        .into();
    assert_eq!(lane.due(own, 0), first);
    assert_eq!(lane.due(own, TURN_MS - 1), [""; 0]);
    for turn in 2..5 {
        let more = [0, 1].map(|group| shares(&lane, group, turn));
        let now = u64::from(turn - 1) * TURN_MS;
        assert_eq!(lane.due(own, now), more);
        assert_eq!(lane.due(own, now), [""; 0]);
    }
    let all = ["shares 0 to all", "shares 1 to all"];
    assert_eq!(lane.due(own, 4 * TURN_MS), all);
    assert_eq!(lane.due(own, 9 * TURN_MS), [""; 0]);
}

#[test]
fn who_combines_a_group_publishes_it_and_others_do_not() {
    let mut lane = Fixture::new();
    let opener = lane.groups[0];
    lane.due(opener, 0);
    lane.opens(0, false);
    assert_eq!(lane.due(opener, 1), ["openings 0 to all"]);
    assert_eq!(lane.due(opener, 2), [""; 0]);
    let mut lane = Fixture::new();
    let own = lane.bystander();
    lane.due(own, 0);
    lane.opens(0, false);
    assert_eq!(lane.due(own, 1), [""; 0]);
    // The next one in turn needs no shares of a decided group, but what came out of it.
    let next = lane.after(0, 2);
    let shares = lane.after(1, 2);
    let due = [
        format!("openings 0 to {next}"),
        format!("shares 1 to {shares}"),
    ];
    assert_eq!(lane.due(own, TURN_MS), due);
    let all = ["openings 0 to all", "shares 1 to all"];
    assert_eq!(lane.due(own, 4 * TURN_MS), all);
}

#[test]
fn a_quorum_of_a_groups_shares_is_tried_once() {
    let mut lane = Fixture::new();
    let context = lane.context(0);
    let give = |lane: &mut Fixture, signer| {
        let bundle = bundle(context, ValidatorIndex(signer));
        lane.openings.add(bundle, Height(0));
        let work = lane.openings.attempt(LANE);
        let tried = |work: &Work| match work {
            Work::Open {
                context, bundles, ..
            } => (context.group, bundles.len()),
            other => panic!("{other:?}"),
        };
        work.iter().map(tried).collect::<Vec<_>>()
    };
    // Our own is the first; twelve more are a quorum of nineteen.
    for signer in 1..12 {
        assert_eq!(give(&mut lane, signer), []);
    }
    assert_eq!(give(&mut lane, 12), [(context.group, 13)]);
    assert_eq!(give(&mut lane, 13), [], "one attempt at a time");
}

#[test]
fn published_openings_are_checked_together_and_a_wrong_one_names_its_sender() {
    let mut lane = Fixture::new();
    lane.hears(4, 0, false);
    lane.hears(5, 1, false);
    let mut work = lane.openings.attempt(LANE);
    let Some(Work::CheckOpenings { claims, .. }) = work.pop() else {
        panic!("{work:?}");
    };
    assert_eq!(claims.len(), 2);
    lane.hears(6, 1, false);
    let none = lane.openings.attempt(LANE);
    assert!(none.is_empty(), "one check at a time");
    let checked = claims.into_iter().map(|claim| {
        let right = claim.from == ValidatorIndex(4);
        (claim, right)
    });
    let named = lane
        .openings
        .checked(context(ShareGroup::Whole), checked.collect());
    assert_eq!(named, [ValidatorIndex(5)]);
    // It is not listened to any more, and who said the same meanwhile is checked now.
    lane.hears(5, 1, false);
    let mut work = lane.openings.attempt(LANE);
    let Some(Work::CheckOpenings { claims, .. }) = work.pop() else {
        panic!("{work:?}");
    };
    let from: Vec<u16> = claims.iter().map(|claim| claim.from.0).collect();
    assert_eq!(from, [6]);
    let right = claims.into_iter().map(|claim| (claim, true)).collect();
    lane.openings.checked(context(ShareGroup::Whole), right);
    let opened = lane.openings.opened(LANE).expect("both groups are decided");
    assert_eq!(opened.verdicts, vec![Verdict::Opened(Point([5; 32])); 12]);
}

#[test]
fn that_some_are_malformed_is_believed_nobody_and_makes_everybody_look() {
    let mut lane = Fixture::new();
    let own = lane.bystander();
    lane.due(own, 0);
    lane.hears(3, 0, true);
    let work = lane.openings.attempt(LANE);
    assert!(work.is_empty(), "there is nothing to check");
    assert_eq!(lane.due(own, 1), ["shares 0 to all"]);
    assert_eq!(lane.openings.false_doubters(LANE), []);
    lane.opens(0, false);
    let named = lane.openings.false_doubters(LANE);
    assert_eq!(named, [ValidatorIndex(3)], "it shows in the end");
    assert_eq!(lane.openings.false_doubters(LANE), [], "once");
}

#[test]
fn an_opener_that_finds_one_malformed_says_so_and_gives_its_shares_to_all() {
    let mut lane = Fixture::new();
    let opener = lane.groups[1];
    lane.due(opener, 0);
    lane.opens(1, true);
    let due = ["doubts 1 to all", "shares 1 to all"];
    assert_eq!(lane.due(opener, 1), due);
}

#[test]
fn what_was_lost_is_repeated_until_the_block_is_executed() {
    let mut lane = Fixture::new();
    let own = lane.groups[0];
    let sent = lane.due(own, 0);
    lane.opens(0, false);
    assert_eq!(lane.due(own, 1), ["openings 0 to all"]);
    let repeated = lane.openings.repeat(own, TURN_MS);
    let repeated: Vec<String> = repeated.iter().map(|action| lane.text(action)).collect();
    assert_eq!(
        repeated.first().map(String::as_str),
        Some("openings 0 to all")
    );
    assert_eq!(repeated.last().map(String::as_str), Some("fetch"));
    let again = |line: &&String| line.starts_with("shares 1");
    let before = sent.iter().filter(again);
    assert!(before.clone().count() > 0 && before.clone().all(|line| repeated.contains(line)));
    lane.openings.forget(Height(1));
    assert!(lane.openings.repeat(own, 9 * TURN_MS).is_empty());
}

#[test]
fn what_comes_before_its_block_waits_for_it() {
    let mut lane = Fixture::new();
    let contexts = [lane.context(0), lane.context(1)];
    let mut openings = Openings::default();
    for signer in 1..14 {
        openings.add(bundle(contexts[0], ValidatorIndex(signer)), Height(0));
    }
    let said = GroupOpenings {
        context: contexts[1],
        verdicts: lane.verdicts(1, false),
    };
    openings.claim(ValidatorIndex(9), said, Height(0));
    openings.start(
        context(ShareGroup::Whole),
        envelopes(12),
        Arc::new(lane.committee.clone()),
        0,
    );
    let work = openings.attempt(LANE);
    assert!(matches!(
        work[..],
        [Work::Open { .. }, Work::CheckOpenings { .. }]
    ));
    lane.openings = openings;
}

/// A newcomer without a vote yet needs no false share to keep a block closed for everybody: any
/// bundle of the right context was counted, in a quorum that then was none.
#[test]
fn shares_of_who_weighs_nothing_do_not_spoil_a_quorum() {
    let whole = context(ShareGroup::Whole);
    let share = |signer| bundle(whole, ValidatorIndex(signer));
    let mut openings = Openings::default();
    openings.add(share(4), Height(0));
    let committee = Arc::new(committee_with_a_leaver());
    openings.start(whole, envelopes(2), committee, 0);
    openings.own(LANE, vec![share(0)]);
    openings.add(share(4), Height(0));
    openings.add(share(1), Height(0));
    assert!(openings.attempt(LANE).is_empty(), "two of four");
    openings.add(share(2), Height(0));
    let work = openings.attempt(LANE);
    let [Work::Open { bundles, .. }] = &work[..] else {
        panic!("{work:?}");
    };
    let signers: Vec<u16> = bundles.iter().map(|bundle| bundle.signer.0).collect();
    assert_eq!(signers, [0, 1, 2]);
}
