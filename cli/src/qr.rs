//! Codes and links as a picture on the terminal, for who would rather scan than type.

use qrcode::{Color, EcLevel, QrCode};

/// The picture: two rows of dots to a line of text, light on dark, with its quiet zone. `None` for what is too long.
pub(crate) fn picture(text: &str) -> Option<String> {
    let code = QrCode::with_error_correction_level(text, EcLevel::L).ok()?;
    let width = i64::try_from(code.width()).ok()?;
    let dots = code.to_colors();
    // Two dots around it are enough for a reader at this size; light is drawn, since terminals are dark.
    let light = |x: i64, y: i64| {
        let inside = (0..width).contains(&x) && (0..width).contains(&y);
        let place = usize::try_from(y * width + x).ok();
        !inside || place.and_then(|place| dots.get(place)) == Some(&Color::Light)
    };
    let mut picture = String::new();
    let mut y = -2;
    while y < width + 2 {
        for x in -2..width + 2 {
            picture.push(match (light(x, y), light(x, y + 1) && y + 1 < width + 2) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        picture.push('\n');
        y += 2;
    }
    Some(picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_square_and_keeps_its_dots() {
        let text = "0123456789ABCDEFGHJK";
        let shown = picture(text).unwrap();
        let code = QrCode::with_error_correction_level(text, EcLevel::L).unwrap();
        let lines: Vec<Vec<char>> = shown.lines().map(|line| line.chars().collect()).collect();
        assert_eq!(lines.len(), (code.width() + 4).div_ceil(2));
        assert!(lines.iter().all(|line| line.len() == code.width() + 4));
        for y in 0..code.width() {
            for x in 0..code.width() {
                let cell = lines[y / 2 + 1][x + 2];
                let light = matches!((cell, y % 2), ('█', _) | ('▀', 0) | ('▄', 1));
                assert_eq!(light, code[(x, y)] == Color::Light, "{x} {y}");
            }
        }
        assert!(picture(&"x".repeat(5000)).is_none());
    }
}
