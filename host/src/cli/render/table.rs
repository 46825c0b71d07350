//! Owns tables: columns as wide as their widest cell, and no space at the ends of lines.

use anstyle::Style;

use super::style::{HEADING, Palette};

/// A cell and its colour.
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Makes a cell with a colour.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self { text: text.into(), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// Returns the table with a line for its headings. Cells must be harmless text already.
pub fn table<const N: usize>(palette: Palette, headings: [&str; N], rows: &[[Cell; N]]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].text.as_str());
        cells.chain([headings[column]]).map(|text| text.chars().count()).max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut shown = String::new();
    push_row(&mut shown, palette, &widths, headings.map(|heading| (heading, HEADING)));
    for row in rows {
        push_row(&mut shown, palette, &widths, row.each_ref().map(|cell| (cell.text.as_str(), cell.style)));
    }
    shown
}

fn push_row<const N: usize>(
    shown: &mut String,
    palette: Palette,
    widths: &[usize; N],
    cells: [(&str, Style); N],
) {
    let mut padding = 0;
    for ((text, style), width) in cells.into_iter().zip(widths) {
        if !text.is_empty() {
            shown.push_str(&" ".repeat(padding));
            shown.push_str(&palette.paint(style, text).to_string());
            padding = 0;
        }
        // A column without a heading and without a cell is not there.
        padding += if *width == 0 { 0 } else { width - text.chars().count() + 2 };
    }
    shown.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_at_their_last_cell() {
        let rows = [["api".into(), "8000".into(), "".into()], ["frontend".into(), "".into(), "exit".into()]];
        insta::assert_snapshot!(table(Palette::PLAIN, ["NAME", "PORTS", "X"], &rows), @r"
        NAME      PORTS  X
        api       8000
        frontend         exit
        ");
    }
}
