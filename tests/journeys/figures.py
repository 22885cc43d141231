"""The figures of the design specification, a table for each place where the components stand.

A value that begins with ``--`` names a colour of the first table; everything else is what a browser
computes.
"""

from __future__ import annotations

from typing import Any

COLOURS = {
    "--canvas": ("#f3f6f8", "#0a1319"),
    "--surface": ("#ffffff", "#101c24"),
    "--raised": ("#ffffff", "#16252f"),
    "--sunken": ("#edf2f5", "#0c171e"),
    "--hover": ("#f5f8fa", "#14222b"),
    "--selected": ("#eaf4f8", "#132731"),
    "--line": ("#dfe7eb", "#20313c"),
    "--line-strong": ("#c5d1d8", "#2f4552"),
    "--line-control": ("#758995", "#5e7786"),
    "--ink": ("#0b2130", "#e8f0f4"),
    "--ink-2": ("#3d5362", "#b0c2cc"),
    "--ink-3": ("#566b79", "#8fa4b0"),
    "--accent": ("#0b5d76", "#62bfd8"),
    "--accent-hover": ("#084a5f", "#83d0e5"),
    "--accent-text": ("#0b5d76", "#72cae1"),
    "--on-accent": ("#ffffff", "#04212b"),
    "--accent-soft": ("#e2f1f6", "#12303c"),
    "--accent-line": ("#93c6d6", "#2a6678"),
    "--skyline-read": ("#6fafc4", "#3a8098"),
    "--focus": ("#0a7ca3", "#8adcf2"),
    "--ok": ("#16653b", "#7bd3a0"),
    "--ok-soft": ("#e3f3e9", "#11291f"),
    "--ok-line": ("#a5d3b7", "#275b42"),
    "--ok-mark": ("#1f8a50", "#4fbe83"),
    "--attn": ("#7a4700", "#edbc66"),
    "--attn-soft": ("#fdf1db", "#2b2110"),
    "--attn-line": ("#e6be78", "#6a4f1f"),
    "--attn-mark": ("#b86e00", "#e0a33c"),
    "--danger": ("#a3271b", "#f59c8f"),
    "--danger-soft": ("#fcece9", "#301816"),
    "--danger-line": ("#e9b3ab", "#74352d"),
    "--danger-solid": ("#b02a1d", "#e5705f"),
    "--danger-hover": ("#8e2016", "#ee8a7b"),
    "--on-danger": ("#ffffff", "#2a0805"),
    "--idle-soft": ("#e9eff2", "#1b2a34"),
    "--idle-line": ("#c5d1d8", "#334956"),
    "--arc-track": ("#c5d1d8", "#334956"),
}
SCRIM = {"light": "rgba(7, 24, 36, 0.46)", "dark": "rgba(2, 8, 12, 0.66)"}
LIGHT_SHADOWS = {
    1: ["0.05) 0px 1px 2px"],
    2: ["0.07) 0px 2px 6px", "0.09) 0px 8px 24px"],
    3: ["0.1) 0px 4px 12px", "0.22) 0px 24px 64px"],
}

Figures = dict[str, dict[str, str]]


def text(size: str, line: str, weight: str = "400", colour: str = "", track: str = "") -> Any:
    """Return a role of the type table, sizes in pixels, tracking in em."""
    role = {"font-size": f"{size}px", "line-height": f"{line}px", "font-weight": weight}
    if colour:
        role["color"] = colour
    if track:
        role["letter-spacing"] = f"{float(size) * float(track):.3f}".rstrip("0") + "px"
    return role


def box(radius: str, ground: str = "", edge: str = "") -> dict[str, str]:
    """Return a shape: corners, ground and edge."""
    shape = {"border-top-left-radius": radius}
    if ground:
        shape["background-color"] = ground
    if edge:
        shape |= {"border-top-color": edge, "border-top-width": "1px"}
    return shape


BUTTON = {**text("14", "20", "600"), **box("6px"), "height": "36px"}
BADGE = {**text("12", "16", "600"), **box("99px")}
ON_THE_LIST: Figures = {
    "body": {**text("14", "21", "400", "--ink"), "background-color": "--canvas"},
    ".page__title h1": text("26", "32", "600", "--ink", "-0.014"),
    ".lede": {"color": "--ink-2"},
    ".side": {"width": "232px"},
    ".main": {"padding-top": "34px", "padding-left": "40px", "padding-bottom": "80px"},
    ".page": {"max-width": "976px"},
    ".nav__sub [aria-current]": {"background-color": "--accent-soft", "color": "--accent-text"},
    ".btn--primary": {**BUTTON, "background-color": "--accent", "color": "--on-accent"},
    "tbody .btn--ghost": {**box("6px"), "height": "30px", "color": "--ink-2"},
    ".posture": box("12px", "--surface", "--line"),
    ".posture__number": text("22", "28", "600", "--ink", "-0.02"),
    ".list": box("12px", "--surface", "--line"),
    ".list .chip:not([aria-current])": box("6px", "--surface", "--line-strong"),
    ".chip[aria-current]": {**box("6px", "--ink"), "color": "--canvas"},
    ".search__input": box("6px", "--surface", "--line-control"),
    "thead th + th": text("12", "16", "400", "--ink-3"),
    "tbody td.tt__used": text("13", "19"),
    "tbody tr:not(.tt__ended) .tt__name": text("14", "20", "600", "--ink"),
    "tbody .tt__meta": text("12.5", "18", "400", "--ink-3"),
    ".tid": {**text("12.5", "18", "400", "--ink-3"), "font-family": "JetBrains Mono"},
    "tbody tr:not(.tt__ended) .tid b": {"font-weight": "500", "color": "--ink"},
    ".badge--ok": {**BADGE, "background-color": "--ok-soft", "color": "--ok"},
    ".badge--ok .icon": {"color": "--ok-mark", "width": "12px"},
    ".badge--attn": {**BADGE, "background-color": "--attn-soft", "color": "--attn"},
    ".badge--idle": {**BADGE, "border-top-style": "dashed", "color": "--ink-2"},
    ".badge--ended": {**BADGE, "background-color": "--idle-soft", "color": "--ink-2"},
    "tbody .check__box": box("4px", "--surface", "--line-control"),
    "a#refresh-tokens": {"color": "--accent-text"},
    ".draw-read": {"fill": "--skyline-read"},
    ".draw-horizon": {"stroke": "--line-strong"},
    ".draw-sun--attn": {"fill": "--attn-mark"},
}
ON_A_PHONE: Figures = {
    "body": text("15", "22"),
    ".page__title h1": text("24", "30", "600"),
    ".main": {"padding-top": "20px", "padding-left": "16px", "padding-bottom": "56px"},
    ".btn--primary": {"height": "40px"},
    "tbody .btn--ghost": {"height": "36px"},
    ".search__input": {"font-size": "16px"},
}
CREATE_ON_A_PHONE: Figures = {
    ".card": {"padding-top": "16px"},
    "#id_name": {"font-size": "16px"},
    ".btn--lg": {"height": "46px"},
}
ON_CREATE: Figures = {
    ".page": {"max-width": "1000px"},
    ".columns__aside": {"width": "332px"},
    ".card": {**box("12px", "--surface", "--line"), "padding-top": "24px"},
    ".card fieldset h2": text("17", "24", "600", "--ink", "-0.006"),
    ".card--summary h2": text("15", "22", "600"),
    ".label": text("14", "20", "600", "--ink"),
    ".hint": text("13", "19", "400", "--ink-3"),
    "#id_description": {**text("14", "20"), **box("6px", "--surface", "--line-control")},
    "#id_name": box("6px", "--surface", "--danger"),
    ".err": text("13", "19", "400", "--danger"),
    ".errsum": box("12px", "--danger-soft", "--danger-line"),
    ".chip--mono": {"font-family": "JetBrains Mono", "border-top-left-radius": "6px"},
    ".matrix": box("8px", "", "--danger"),
    ".opt:has(:checked)": box("8px", "--accent-soft", "--accent"),
    ".opt:not(:has(:checked))": box("8px", "--surface", "--line-strong"),
    ".preset[aria-pressed=true]": box("8px", "--accent-soft", "--accent"),
    ".callout--attn": {
        **text("13", "20", "400", "--ink-2"),
        **box("8px", "--attn-soft", "--attn-line"),
    },
    ".seg": {"background-color": "--sunken", "border-top-left-radius": "8px"},
    ".seg__level--soft:has(:checked)": {"background-color": "--accent-soft"},
    ".seg__level--solid:has(:checked)": {
        "background-color": "--accent",
        "color": "--on-accent",
    },
    ".btn--lg": {"height": "42px", "border-top-left-radius": "6px"},
    ".draw-write": {"fill": "--accent"},
    ".can__yes .icon": {"color": "--ok-mark"},
    ".crumbs": text("13", "20", "400", "--ink-3"),
}
IN_THE_SECRET_DIALOG: Figures = {
    ".dialog": {**box("16px", "--raised"), "width": "640px"},
    "#panel-title": text("20", "26", "600", "--ink", "-0.012"),
    ".plate": box("12px", "--accent-soft", "--accent-line"),
    ".plate__value": {**text("16", "28", "500"), "font-family": "JetBrains Mono"},
    ".plate__group:first-child": {"color": "--ink-3", "font-weight": "400"},
    ".snippet--github .code": box("8px", "--sunken", "--line"),
    ".snippet--github pre": {"font-family": "JetBrains Mono", "font-variant-ligatures": "none"},
    ".btn--secondary": {"color": "--ink", **box("6px", "--surface", "--line-strong")},
}
IN_THE_REVOKE_DIALOG: Figures = {
    ".dialog": {**box("16px", "--raised"), "width": "560px"},
    "#panel-title": text("20", "26", "600", "--ink", "-0.012"),
    ".btn--danger": {**BUTTON, "background-color": "--danger-solid", "color": "--on-danger"},
}
ON_THE_DETAIL_PAGE: Figures = {
    ".detail": {"grid-template-columns": "648px 300px"},
    ".sheet": box("12px", "--surface", "--line"),
    ".danger": {"border-top-color": "--danger-line"},
    ".danger .btn--danger-quiet": {
        **BUTTON,
        "color": "--danger",
        "border-top-color": "--danger-line",
    },
    "#access .scope": {"font-family": "JetBrains Mono"},
    ".page__actions .btn:last-child": {"background-color": "--accent", "color": "--on-accent"},
}
AT_THE_GATE: Figures = {
    ".gate": {**box("16px", "--surface", "--line"), "width": "400px"},
    "#id_login": {**text("14", "20"), **box("6px", "--surface", "--line-control")},
    ".btn--primary": {"height": "42px", "background-color": "--accent"},
}
