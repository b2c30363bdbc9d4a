"""The texts offered for a reason: the workspace's own, then those that come with hf-gate, for each common cause in
seven languages.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct

from hf_gate.base.ids import Repo
from hf_gate.errors import UsageError

from .reason_templates import ReasonTemplate, Templates, check_templates, find_template

# ---- texts of hf-gate ------------------------------------------------------------------------------------------------


LANGUAGES: Final[Mapping[str, str]] = {
    "en": "English",
    "zh": "中文",
    "es": "Español",
    "fr": "Français",
    "de": "Deutsch",
    "ja": "日本語",
    "ar": "العربية",
}
"""Each language in its own name, by the code that `--lang` takes."""


class ReadyText(Struct, frozen=True):
    """A text for one cause. `name` is used on the command line, `title` in lists, `texts` has every language."""

    name: str
    title: str
    texts: Mapping[str, str]


_SAY_MORE: Final = ReadyText(
    "say-more",
    "Say more about the use",
    {
        "en": (
            "Please say in two or three sentences what you will use this for, and who will have access. Then ask again."
        ),
        "zh": "请用两三句话说明您打算如何使用，以及谁会有访问权限，然后重新申请。",
        "es": "Explique en dos o tres frases para qué lo usará y quién tendrá acceso. Después, vuelva a solicitarlo.",
        "fr": (
            "Décrivez en deux ou trois phrases l'usage prévu et les personnes qui auront accès. Puis refaites "
            "une demande."
        ),
        "de": (
            "Bitte beschreiben Sie in zwei, drei Sätzen, wofür Sie dies nutzen und wer Zugang hat. Fragen Sie "
            "dann erneut an."
        ),
        "ja": "利用目的と、アクセスする人を2～3文で説明してください。そのうえで、もう一度申請してください。",
        "ar": "يرجى توضيح الغرض من الاستخدام ومن سيحصل على الوصول في جملتين أو ثلاث، ثم إعادة تقديم الطلب.",
    },
)
_ADDRESS: Final = ReadyText(
    "institution-address",
    "Use your institution's address",
    {
        "en": "Please set the e-mail address of your institution in your Hugging Face account. Then ask again.",
        "zh": "请在您的 Hugging Face 账户中设置所在机构的电子邮箱，然后重新申请。",
        "es": (
            "Indique en su cuenta de Hugging Face el correo electrónico de su institución. Después, vuelva a "
            "solicitarlo."
        ),
        "fr": (
            "Indiquez dans votre compte Hugging Face l'adresse e-mail de votre établissement. Puis refaites une "
            "demande."
        ),
        "de": (
            "Bitte tragen Sie in Ihrem Hugging-Face-Konto die E-Mail-Adresse Ihrer Einrichtung ein. Fragen Sie "
            "dann erneut an."
        ),
        "ja": "Hugging Face アカウントに所属機関のメールアドレスを設定してください。そのうえで、もう一度申請してください。",
        "ar": "يرجى إضافة البريد الإلكتروني لمؤسستكم إلى حسابكم في Hugging Face، ثم إعادة تقديم الطلب.",
    },
)
_FULL_NAME: Final = ReadyText(
    "full-name",
    "Give your full name",
    {
        "en": "Please give your full name, as your institution knows you. Then ask again.",
        "zh": "请填写您在所在机构使用的全名，然后重新申请。",
        "es": "Indique su nombre completo, tal como figura en su institución. Después, vuelva a solicitarlo.",
        "fr": "Indiquez votre nom complet, tel que votre établissement le connaît. Puis refaites une demande.",
        "de": "Bitte geben Sie Ihren vollen Namen an, wie ihn Ihre Einrichtung kennt. Fragen Sie dann erneut an.",
        "ja": "所属機関に登録されている氏名をフルネームで記入してください。そのうえで、もう一度申請してください。",
        "ar": "يرجى كتابة اسمكم الكامل كما هو مسجّل لدى مؤسستكم، ثم إعادة تقديم الطلب.",
    },
)
_INSTITUTION: Final = ReadyText(
    "institution",
    "Name your institution",
    {
        "en": "Please name your institution or company, with a link to a page that mentions you. Then ask again.",
        "zh": "请写明您所在的机构或公司，并附上提到您的网页链接，然后重新申请。",
        "es": (
            "Indique su institución o empresa, con un enlace a una página que le mencione. Después, vuelva a "
            "solicitarlo."
        ),
        "fr": (
            "Indiquez votre établissement ou entreprise, avec le lien d'une page qui vous mentionne. Puis "
            "refaites une demande."
        ),
        "de": (
            "Bitte nennen Sie Ihre Einrichtung oder Firma, mit Link zu einer Seite, die Sie nennt. Fragen Sie "
            "dann erneut an."
        ),
        "ja": "所属機関または会社名と、あなたが掲載されているページのリンクを記入してください。そのうえで、もう一度申請してください。",
        "ar": "يرجى ذكر مؤسستكم أو شركتكم مع رابط لصفحة تذكر اسمكم، ثم إعادة تقديم الطلب.",
    },
)
_AGREEMENT: Final = ReadyText(
    "agreement",
    "Send the signed agreement",
    {
        "en": "We have not received your signed agreement. Please send it as the page describes. Then ask again.",
        "zh": "我们尚未收到您签署的协议。请按页面说明发送，然后重新申请。",
        "es": (
            "No hemos recibido su acuerdo firmado. Envíelo como se indica en la página. Después, vuelva a solicitarlo."
        ),
        "fr": (
            "Nous n'avons pas reçu votre accord signé. Envoyez-le comme indiqué sur la page. Puis refaites une demande."
        ),
        "de": (
            "Ihre unterschriebene Vereinbarung fehlt uns. Bitte senden Sie sie wie auf der Seite beschrieben. "
            "Fragen Sie dann erneut an."
        ),
        "ja": "署名済みの同意書が届いていません。ページの説明に従って送付し、そのうえで、もう一度申請してください。",
        "ar": "لم نستلم الاتفاقية الموقّعة. يرجى إرسالها كما هو موضّح في الصفحة، ثم إعادة تقديم الطلب.",
    },
)
_COMPLETE: Final = ReadyText(
    "complete-form",
    "Answer every question",
    {
        "en": "Please answer every question of the form in full. Then ask again.",
        "zh": "请完整回答表单中的每个问题，然后重新申请。",
        "es": "Responda por completo a todas las preguntas del formulario. Después, vuelva a solicitarlo.",
        "fr": "Répondez complètement à toutes les questions du formulaire. Puis refaites une demande.",
        "de": "Bitte beantworten Sie jede Frage des Formulars vollständig. Fragen Sie dann erneut an.",
        "ja": "フォームのすべての質問に漏れなく回答してください。そのうえで、もう一度申請してください。",
        "ar": "يرجى الإجابة عن جميع أسئلة النموذج بالكامل، ثم إعادة تقديم الطلب.",
    },
)
_OTHER_PURPOSE: Final = ReadyText(
    "other-purpose",
    "Not for this purpose",
    {
        "en": "Access is only given for certain purposes. The use that you describe is not one of them.",
        "zh": "仅允许用于特定目的。您所描述的用途不在其中。",
        "es": "El acceso solo se concede para ciertos fines. El uso que describe no es uno de ellos.",
        "fr": "L'accès n'est accordé que pour certains usages. Celui que vous décrivez n'en fait pas partie.",
        "de": "Zugang gibt es nur für bestimmte Zwecke. Die von Ihnen beschriebene Nutzung gehört nicht dazu.",
        "ja": "アクセスは特定の目的に限って許可されます。記載された用途はその対象ではありません。",
        "ar": "يُمنح الوصول لأغراض محددة فقط، والاستخدام الذي وصفتموه ليس منها.",
    },
)

READY_TEXTS: Final[Mapping[str, tuple[ReadyText, ...]]] = {
    "reset": (_SAY_MORE, _ADDRESS, _FULL_NAME, _INSTITUTION, _AGREEMENT, _COMPLETE),
    "reject": (_OTHER_PURPOSE,),
}
"""The texts for each verb. They have no placeholders, so they also fit a decision about many people."""


# ---- texts offered ---------------------------------------------------------------------------------------------------


def list_reason_texts(
    templates: Templates, repos: Sequence[Repo], verb: str, language: str = "en"
) -> Iterator[ReasonTemplate | UsageError]:
    """Yield the texts for a verb: the workspace's own, or why one cannot be used at these repos, then the ready ones.

    `language` is a key of `LANGUAGES`; it chooses among the ready texts.
    """
    yield from check_templates(templates, repos)
    yield from list_ready_texts(verb, language)


def list_ready_texts(verb: str, language: str = "en") -> Sequence[ReasonTemplate]:
    """Return the texts that come with hf-gate for a verb, with their titles. `language` is a key of `LANGUAGES`."""
    return [ReasonTemplate(one.title, one.texts[language]) for one in READY_TEXTS.get(verb, ())]


def find_reason_text(templates: Templates, word: str, verb: str, repos: Sequence[Repo]) -> ReasonTemplate:
    """Return the text `NAME` or `NAME:LANGUAGE`: the workspace's own, else a ready one for this verb.

    Raises UsageError if there is none, or if it cannot be used at these repos.
    """
    name, _, language = word.partition(":")
    ready = next((one for one in READY_TEXTS.get(verb, ()) if one.name == name), None)
    if ready is None or name in templates:
        return find_template(templates, word, repos, also=[one.name for one in READY_TEXTS.get(verb, ())])
    if language and language not in ready.texts:
        raise UsageError(f"The text {name!r} is not written in {language!r}.", hint=f"It is in {', '.join(LANGUAGES)}.")
    return ReasonTemplate(word, ready.texts[language or "en"])
