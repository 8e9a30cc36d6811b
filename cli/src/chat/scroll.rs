//! Which rows of a pile of blocks are seen. Measured from the newest block upwards, so that what is being read stays where
//! it is while new blocks come below. Pure.

/// What the pane shows: of the block `index`, the last `hidden` rows are below the pane's last row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bottom {
    pub(crate) index: usize,
    pub(crate) hidden: usize,
}

/// A pile of blocks, each with its number of rows, seen through a pane.
pub(crate) struct Pile<F: Fn(usize) -> usize> {
    pub(crate) blocks: usize,
    pub(crate) height: F,
    /// Rows of the pane.
    pub(crate) pane: usize,
}

impl<F: Fn(usize) -> usize> Pile<F> {
    /// The newest row is seen.
    pub(crate) fn newest(&self) -> Bottom {
        Bottom { index: self.blocks.saturating_sub(1), hidden: 0 }
    }

    fn valid(&self, bottom: Bottom) -> Bottom {
        if self.blocks == 0 {
            return Bottom::default();
        }
        let index = bottom.index.min(self.blocks - 1);
        Bottom { index, hidden: bottom.hidden.min((self.height)(index).saturating_sub(1)) }
    }

    /// Scrolled up by this many rows, until the oldest row is the pane's first.
    pub(crate) fn up(&self, bottom: Bottom, rows: usize) -> Bottom {
        let Bottom { mut index, mut hidden } = self.valid(bottom);
        hidden += rows;
        while index > 0 && hidden >= (self.height)(index) {
            hidden -= (self.height)(index);
            index -= 1;
        }
        self.settled(Bottom { index, hidden })
    }

    /// Not further up than that the pane is full, if there is enough to fill it.
    fn settled(&self, bottom: Bottom) -> Bottom {
        let bottom = self.valid(bottom);
        let mut seen = 0;
        let mut index = bottom.index;
        seen += (self.height)(index).saturating_sub(bottom.hidden);
        while seen < self.pane && index > 0 {
            index -= 1;
            seen += (self.height)(index);
        }
        if seen < self.pane { self.down(bottom, self.pane - seen) } else { bottom }
    }

    /// Scrolled down by this many rows, until the newest row is the pane's last.
    pub(crate) fn down(&self, bottom: Bottom, mut rows: usize) -> Bottom {
        let Bottom { mut index, mut hidden } = self.valid(bottom);
        while rows > 0 {
            if hidden >= rows {
                hidden -= rows;
                break;
            }
            rows -= hidden;
            hidden = 0;
            if index + 1 >= self.blocks {
                break;
            }
            index += 1;
            hidden = (self.height)(index);
        }
        self.valid(Bottom { index, hidden })
    }

    /// The first block that is seen, and how many of its first rows are not.
    pub(crate) fn top(&self, bottom: Bottom) -> (usize, usize) {
        let bottom = self.valid(bottom);
        if self.blocks == 0 {
            return (0, 0);
        }
        let mut index = bottom.index;
        let mut seen = (self.height)(index).saturating_sub(bottom.hidden);
        while seen < self.pane && index > 0 {
            index -= 1;
            seen += (self.height)(index);
        }
        (index, seen.saturating_sub(self.pane))
    }

    /// Scrolled as little as is needed for a block to be seen; of one that is too high, its begin.
    pub(crate) fn showing(&self, bottom: Bottom, block: usize) -> Bottom {
        let bottom = self.settled(bottom);
        let (first, cut) = self.top(bottom);
        let high = (self.height)(block) > self.pane;
        if block < first || (block == first && cut > 0) || (high && block >= bottom.index) {
            // Its first row becomes the pane's first.
            let mut left = self.pane;
            let mut index = block;
            while index + 1 < self.blocks && (self.height)(index) < left {
                left -= (self.height)(index);
                index += 1;
            }
            let hidden = (self.height)(index).saturating_sub(left);
            return self.settled(Bottom { index, hidden });
        }
        if block > bottom.index || (block == bottom.index && bottom.hidden > 0) {
            return self.settled(Bottom { index: block, hidden: 0 });
        }
        bottom
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pile(heights: &[usize], pane: usize) -> Pile<impl Fn(usize) -> usize + '_> {
        Pile { blocks: heights.len(), height: |i| heights[i], pane }
    }

    #[test]
    fn up_and_down_are_each_others_way_back() {
        let p = pile(&[3, 2, 4, 1, 2], 5);
        let newest = p.newest();
        assert_eq!(p.top(newest), (2, 2));
        let up = p.up(newest, 3);
        assert_eq!(up, Bottom { index: 2, hidden: 0 });
        assert_eq!(p.top(up), (1, 1));
        assert_eq!(p.down(up, 3), newest);
        // Not beyond the oldest row.
        let oldest = p.up(newest, 100);
        assert_eq!(p.top(oldest), (0, 0));
        assert_eq!(p.down(oldest, 100), newest);
    }

    #[test]
    fn a_block_is_shown() {
        let p = pile(&[3, 2, 4, 1, 2], 5);
        assert_eq!(p.top(p.showing(p.newest(), 1)), (1, 0));
        assert_eq!(p.top(p.showing(p.newest(), 0)), (0, 0));
        assert_eq!(p.showing(p.newest(), 4), p.newest());
        let oldest = p.up(p.newest(), 100);
        assert_eq!(p.showing(oldest, 3), Bottom { index: 3, hidden: 0 });
        // One that is higher than the pane: its begin.
        let p = pile(&[1, 9, 1], 4);
        assert_eq!(p.top(p.showing(p.newest(), 1)), (1, 0));
    }

    #[test]
    fn a_small_pile_does_not_scroll() {
        let p = pile(&[1, 1], 5);
        assert_eq!(p.up(p.newest(), 3), p.newest());
        assert_eq!(p.top(p.newest()), (0, 0));
        assert_eq!(pile(&[], 5).top(Bottom::default()), (0, 0));
        assert_eq!(pile(&[], 5).newest(), Bottom::default());
    }

    proptest! {
        #[test]
        fn the_pane_is_full_wherever_one_scrolls(
            heights in prop::collection::vec(1_usize..9, 1..30),
            pane in 1_usize..20,
            moves in prop::collection::vec((0_u8..3, 0_usize..30), 0..20),
        ) {
            let p = pile(&heights, pane);
            let total: usize = heights.iter().sum();
            let mut bottom = p.newest();
            for (kind, n) in moves {
                bottom = match kind {
                    0 => p.up(bottom, n),
                    1 => p.down(bottom, n),
                    _ => {
                        let block = n % heights.len();
                        let shown = p.showing(bottom, block);
                        let (top, cut) = p.top(shown);
                        // Its first row is seen, or its last one.
                        prop_assert!(top <= block && block <= shown.index);
                        prop_assert!(top < block || cut == 0 || heights[block] > pane);
                        shown
                    }
                };
                let (top, cut) = p.top(bottom);
                let seen = heights[top..=bottom.index].iter().sum::<usize>() - cut - bottom.hidden;
                prop_assert_eq!(seen, pane.min(total));
            }
        }
    }
}
