//! The frames of an extent: their heads one after the other, and what is loaded of one.
//!
//! Loads what it looks at, and checks what it gives. Never decides which frames are wanted.

use super::columns::Lines;
use super::frame::{HEAD_MAX_BYTES, Head};
use super::index::Extent;
use super::view::View;

/// What of an extent no head told of, because it is damaged.
pub(super) struct Unread {
    /// The first number that may be missing.
    pub first: u64,
    /// How many lines of the extent are, at most.
    pub lines: u64,
}

/// Calls `each` with the place and the head of every frame, up to the first that is damaged.
pub(super) fn walk(
    view: &mut View<'_>,
    extent: &Extent,
    epoch: u32,
    mut each: impl FnMut(usize, &Head<'_>),
) -> Unread {
    let (mut offset, mut next, mut left) = (0, extent.first, u64::from(extent.lines));
    while offset < view.len() && view.load(offset..offset + HEAD_MAX_BYTES).is_ok() {
        let bytes = view.bytes(offset..view.len().min(offset + HEAD_MAX_BYTES));
        let Some(head) = Head::parse(bytes, epoch) else { break };
        each(offset, &head);
        offset += head.frame_bytes();
        next = head.next();
        left = left.saturating_sub(head.lines.into());
    }
    Unread { first: next.0, lines: left }
}

/// How much of a frame is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// All but the text.
    Columns,
    Whole,
}

/// Loads that part of the frame at `offset`, whose head has been loaded and checked, and checks it; `None` when it is
/// damaged.
pub(super) fn open<'v>(
    view: &'v mut View<'_>,
    offset: usize,
    epoch: u32,
    part: Part,
) -> Option<(Head<'v>, Lines<'v>)> {
    let head = Head::parse(view.bytes(offset..view.len()), epoch)?;
    let frame = offset..offset + head.frame_bytes();
    let needed = match part {
        Part::Columns => offset + head.data_range().end,
        Part::Whole => frame.end,
    };
    view.load(offset..needed).ok()?;
    let (head, lines) = lines_at(view, offset, epoch)?;
    let frame = view.bytes(frame);
    let checks = view.is_checked()
        || match part {
            Part::Columns => head.data(frame, epoch).is_some(),
            Part::Whole => head.is_whole(frame, epoch),
        };
    checks.then_some((head, lines))
}

/// Returns the head and the lines of a frame of which at least these have been loaded.
pub(super) fn lines_at<'v>(view: &'v View<'_>, offset: usize, epoch: u32) -> Option<(Head<'v>, Lines<'v>)> {
    let head = Head::parse(view.bytes(offset..view.len()), epoch)?;
    let lines = Lines::parse(&head, view.bytes(offset..offset + head.frame_bytes()))?;
    Some((head, lines))
}
