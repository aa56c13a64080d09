//! The pictures of the README and of the guide: that they are readable on a page of either colour.

use std::path::Path;

/// Greys and colours that stand out from white and from `#0d1117` alike, at least 3 : 1.
const ON_THE_PAGE: &str = "#767676";

/// A number among the attributes of an element.
fn number(element: &str, name: &str) -> f64 {
    let (_, rest) = element
        .split_once(&format!(" {name}=\""))
        .unwrap_or_else(|| panic!("no {name}: {element}"));
    let value = rest.split('"').next().expect("a value");
    value.parse().expect("a number")
}

/// The elements of a name, with their attributes.
fn elements<'a>(svg: &'a str, name: &str) -> Vec<&'a str> {
    let start = format!("{name} ");
    let tags = svg.split('<').filter(|tag| tag.starts_with(&start));
    tags.filter_map(|tag| tag.split('>').next()).collect()
}

fn pictures(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).expect("pictures");
    let paths = entries.map(|entry| entry.expect("a file").path());
    let read = |path: std::path::PathBuf| {
        let svg = std::fs::read_to_string(&path).expect("a picture");
        (path.display().to_string(), svg)
    };
    let found: Vec<_> = paths.map(read).collect();
    assert!(!found.is_empty());
    found
}

/// A page may be dark where the system prefers light, which is all that a picture in it learns.
#[test]
fn text_on_the_page_itself_has_one_colour_for_light_and_dark() {
    for (path, svg) in pictures("../docs/guide/pictures") {
        let rule = format!(".o {{ fill: {ON_THE_PAGE}; }}\n  </style>");
        assert!(svg.contains(&rule), "{path}: the last rule is another");
        let boxes = elements(&svg, "rect");
        for text in elements(&svg, "text") {
            let [x, y] = ["x", "y"].map(|name| number(text, name));
            let in_a_box = boxes.iter().any(|rect| {
                let [left, top] = ["x", "y"].map(|name| number(rect, name));
                let (width, height) = (number(rect, "width"), number(rect, "height"));
                (left..=left + width).contains(&x) && (top..=top + height).contains(&y)
            });
            assert_eq!(text.contains("class=\"o "), !in_a_box, "{path}: {text}");
        }
    }
}

#[test]
fn charts_have_no_background_and_their_text_is_grey() {
    for (path, svg) in pictures("../docs/pictures") {
        let grey = svg.to_lowercase().contains(ON_THE_PAGE);
        assert!(grey, "{path}");
        for background in ["#fff", "#FFF", "white", "black", "#000"] {
            assert!(!svg.contains(background), "{path}: {background}");
        }
    }
}
