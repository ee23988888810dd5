//! Which builder of a pool gets the next work: what is known about each → one of them. Pure.

/// What is known about a builder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// Nobody asked it yet.
    Unasked,
    /// It answers.
    Ready {
        /// Solves of ours that it works on.
        load: usize,
        /// How many of the wanted platforms it would have to emulate.
        emulated: usize,
    },
    /// It does not answer any more, or must not be used for this.
    Out,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Give the work to this one.
    Take(usize),
    /// Ask those that were not asked, until one of them answers that is free, and look again.
    Ask,
    /// There is none.
    NoneLeft,
}

/// Who of `nodes` gets the next work. One that need not emulate goes before one that is free, and the first named before the
/// others.
pub fn choose(nodes: &[Node]) -> Choice {
    let ready = nodes.iter().enumerate().filter_map(|(at, node)| match node {
        Node::Ready { load, emulated } => Some((*emulated, *load, at)),
        Node::Unasked | Node::Out => None,
    });
    let has_unasked = nodes.contains(&Node::Unasked);
    match ready.min() {
        // Nobody can be better.
        Some((0, 0, at)) => Choice::Take(at),
        _ if has_unasked => Choice::Ask,
        Some((.., at)) => Choice::Take(at),
        None => Choice::NoneLeft,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_free_the_native_and_the_first_are_taken() {
        use Choice::{Ask, NoneLeft, Take};
        use Node::{Out, Unasked};
        let ready = |load, emulated| Node::Ready { load, emulated };
        let check = |nodes: &[Node], expected| assert_eq!(choose(nodes), expected, "{nodes:?}");
        check(&[], NoneLeft);
        check(&[Out, Out], NoneLeft);
        check(&[Unasked, Unasked], Ask);
        check(&[Out, Unasked], Ask);
        // The free one is not made to wait for one that may never answer; a busy one is.
        check(&[Unasked, ready(0, 0)], Take(1));
        check(&[Unasked, ready(1, 0)], Ask);
        check(&[Unasked, ready(0, 1)], Ask);
        check(&[ready(0, 0), ready(0, 0)], Take(0));
        check(&[ready(1, 0), ready(0, 0)], Take(1));
        check(&[ready(2, 0), ready(1, 0), Out], Take(1));
        check(&[ready(0, 1), ready(5, 0)], Take(1));
        check(&[ready(0, 2), ready(3, 1)], Take(1));
        check(&[Out, ready(3, 1)], Take(1));
    }
}
