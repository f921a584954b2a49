//! Looks at a PNG as a person would: how large is it, what colour is it, is there anything on it?

use std::collections::HashMap;

/// What is to be seen on a picture.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// The colour of most pixels, as `RRGGBB`.
    pub(crate) background: String,
    /// How many pixels have another colour.
    pub(crate) drawn: usize,
}

impl Picture {
    /// Decodes a PNG to its last byte; panics if it is none.
    pub(crate) fn decode(png: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().expect("a PNG");
        let mut bytes = vec![0; reader.output_buffer_size().expect("a size that fits into memory")];
        let frame = reader.next_frame(&mut bytes).expect("a whole PNG");
        let samples = frame.color_type.samples();
        assert!(samples >= 3, "a picture in colour, not {:?}", frame.color_type);

        let mut colors: HashMap<[u8; 3], usize> = HashMap::new();
        for pixel in bytes[..frame.buffer_size()].chunks_exact(samples) {
            *colors.entry([pixel[0], pixel[1], pixel[2]]).or_default() += 1;
        }
        let ([r, g, b], count) = colors.iter().max_by_key(|(_, count)| **count).expect("at least one pixel");
        Self {
            width: frame.width,
            height: frame.height,
            background: format!("{r:02x}{g:02x}{b:02x}"),
            drawn: frame.width as usize * frame.height as usize - count,
        }
    }

    /// Asserts that this is a page of `support::pages`: the right size, its colour, and its text on it.
    pub(crate) fn assert_shows(&self, color: &str) {
        assert_eq!((self.width, self.height), (1280, 800));
        assert_eq!(self.background, color);
        assert!(self.drawn > 1000, "nothing is written on it: {self:?}");
    }
}
