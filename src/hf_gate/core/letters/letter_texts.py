"""The letters that come with hf-gate, in seven languages. The first line of each is its subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .letters import LetterKind

_RECEIVED: Final[Mapping[str, str]] = {
    "en": (
        "We have received your request for {repo}\n\nHello {name},\n\nWe have received your request for access "
        "to {repo}. The team will review it; please do not ask again.\n\n{link}"
    ),
    "zh": "我们已收到您对 {repo} 的申请\n\n{name}，您好：\n\n我们已收到您对 {repo} 的访问申请，团队将进行审核，请勿重复提交。\n\n{link}",
    "es": (
        "Hemos recibido su solicitud para {repo}\n\nHola, {name}:\n\nHemos recibido su solicitud de acceso a "
        "{repo}. El equipo la revisará; no la envíe de nuevo.\n\n{link}"
    ),
    "fr": (
        "Votre demande pour {repo} est arrivée\n\nBonjour {name},\n\nNous avons reçu votre demande d'accès à "
        "{repo}. L'équipe va l'examiner ; n'en refaites pas.\n\n{link}"
    ),
    "de": (
        "Ihre Anfrage zu {repo} ist angekommen\n\nGuten Tag {name},\n\nIhre Anfrage zu {repo} ist angekommen. "
        "Das Team wird sie prüfen; bitte fragen Sie nicht erneut an.\n\n{link}"
    ),
    "ja": "{repo} への申請を受け付けました\n\n{name} 様\n\n{repo} へのアクセス申請を受け付けました。担当チームが確認します。再申請は不要です。\n\n{link}",
    "ar": (
        "وصل طلبكم للوصول إلى {repo}\n\nمرحبًا {name}،\n\nوصلنا طلبكم للوصول إلى {repo}، وسيراجعه الفريق، فلا "
        "تقدّموا طلبًا جديدًا.\n\n{link}"
    ),
}
_NEEDED: Final[Mapping[str, str]] = {
    "en": (
        "Something is missing for your access to {repo}\n\nHello {name},\n\nWe cannot decide your request for "
        "{repo} yet. This is still needed:\n\n{needed}\n\nYour request stays open; please do not ask "
        "again.\n\n{link}"
    ),
    "zh": "您对 {repo} 的申请尚缺材料\n\n{name}，您好：\n\n我们暂时无法处理您对 {repo} 的申请。仍需以下内容：\n\n{needed}\n\n您的申请仍然有效，请勿重新提交。\n\n{link}",
    "es": (
        "Falta algo para su acceso a {repo}\n\nHola, {name}:\n\nTodavía no podemos decidir su solicitud para "
        "{repo}. Aún hace falta lo siguiente:\n\n{needed}\n\nSu solicitud sigue abierta; no la envíe de "
        "nuevo.\n\n{link}"
    ),
    "fr": (
        "Il manque un élément pour votre accès à {repo}\n\nBonjour {name},\n\nNous ne pouvons pas encore décider "
        "de votre demande pour {repo}. Il manque encore :\n\n{needed}\n\nVotre demande reste ouverte ; n'en "
        "refaites pas.\n\n{link}"
    ),
    "de": (
        "Für Ihren Zugang zu {repo} fehlt noch etwas\n\nGuten Tag {name},\n\nwir können über Ihre Anfrage zu "
        "{repo} noch nicht entscheiden. Es fehlt noch:\n\n{needed}\n\nIhre Anfrage bleibt offen; bitte fragen "
        "Sie nicht erneut an.\n\n{link}"
    ),
    "ja": (
        "{repo} へのアクセスに必要なものが不足しています\n\n{name} 様\n\n{repo} "
        "への申請は、まだ判断できません。次のものが必要です。\n\n{needed}\n\n申請は有効なままです。再申請は不要です。\n\n{link}"
    ),
    "ar": (
        "ينقص شيء لوصولكم إلى {repo}\n\nمرحبًا {name}،\n\nلا يمكننا البت في طلبكم للوصول إلى {repo} بعد. ما زلنا "
        "نحتاج إلى ما يلي:\n\n{needed}\n\nيبقى طلبكم مفتوحًا، فلا تقدّموا طلبًا جديدًا.\n\n{link}"
    ),
}
_REMINDER: Final[Mapping[str, str]] = {
    "en": (
        "Something is missing for your access to {repo}: please send it before {date}\n\nHello {name},\n\nWe "
        "cannot decide your request for {repo} yet. This is still needed:\n\n{needed}\n\nPlease send it before "
        "{date}. Your request stays open until then; please do not ask again.\n\n{link}"
    ),
    "zh": (
        "您对 {repo} 的申请尚缺材料：请在 {date} 之前提交\n\n{name}，您好：\n\n我们暂时无法处理您对 {repo} 的申请。仍需以下内容：\n\n{needed}\n\n请在 "
        "{date} 之前提交。在此之前您的申请仍然有效，请勿重新提交。\n\n{link}"
    ),
    "es": (
        "Falta algo para su acceso a {repo}: envíelo antes del {date}\n\nHola, {name}:\n\nTodavía no podemos "
        "decidir su solicitud para {repo}. Aún hace falta lo siguiente:\n\n{needed}\n\nEnvíelo antes del {date}. "
        "Hasta entonces su solicitud sigue abierta; no la envíe de nuevo.\n\n{link}"
    ),
    "fr": (
        "Il manque un élément pour votre accès à {repo} : envoyez-le avant le {date}\n\nBonjour {name},\n\nNous "
        "ne pouvons pas encore décider de votre demande pour {repo}. Il manque encore "
        ":\n\n{needed}\n\nEnvoyez-le avant le {date}. Jusque-là, votre demande reste ouverte ; n'en refaites "
        "pas.\n\n{link}"
    ),
    "de": (
        "Für Ihren Zugang zu {repo} fehlt noch etwas: bitte vor dem {date}\n\nGuten Tag {name},\n\nwir können "
        "über Ihre Anfrage zu {repo} noch nicht entscheiden. Es fehlt noch:\n\n{needed}\n\nBitte schicken Sie es "
        "vor dem {date}. Bis dahin bleibt Ihre Anfrage offen; bitte fragen Sie nicht erneut an.\n\n{link}"
    ),
    "ja": (
        "{repo} へのアクセスに必要なものが不足しています（{date} より前にお送りください）\n\n{name} 様\n\n{repo} "
        "への申請は、まだ判断できません。次のものが必要です。\n\n{needed}\n\n{date} より前にお送りください。それまで申請は有効です。再申請は不要です。\n\n{link}"
    ),
    "ar": (
        "ينقص شيء لوصولكم إلى {repo}: يرجى إرساله قبل {date}\n\nمرحبًا {name}،\n\nلا يمكننا البت في طلبكم للوصول "
        "إلى {repo} بعد. ما زلنا نحتاج إلى ما يلي:\n\n{needed}\n\nيرجى إرساله قبل {date}. يبقى طلبكم مفتوحًا حتى "
        "ذلك الحين، فلا تقدّموا طلبًا جديدًا.\n\n{link}"
    ),
}
_ENDS: Final[Mapping[str, str]] = {
    "en": (
        "Your access to {repo} ends on {date}\n\nHello {name},\n\nYour access to {repo} ends on {date}. If you "
        "still need it after that, write to the team before that day.\n\n{link}"
    ),
    "zh": (
        "您对 {repo} 的访问权限将在 {days} 天后到期\n\n{name}，您好：\n\n您对 {repo} 的访问权限将于 {date} 到期，还有 {days} "
        "天。如届时仍需要，请在此之前联系团队。\n\n{link}"
    ),
    "es": (
        "Su acceso a {repo} termina el {date}\n\nHola, {name}:\n\nSu acceso a {repo} termina el {date}. Si "
        "después aún lo necesita, escriba al equipo antes de ese día.\n\n{link}"
    ),
    "fr": (
        "Votre accès à {repo} prend fin le {date}\n\nBonjour {name},\n\nVotre accès à {repo} prend fin le "
        "{date}. S'il vous est encore utile ensuite, écrivez à l'équipe avant cette date.\n\n{link}"
    ),
    "de": (
        "Ihr Zugang zu {repo} endet am {date}\n\nGuten Tag {name},\n\nIhr Zugang zu {repo} endet am {date}. Wenn "
        "Sie ihn dann noch brauchen, schreiben Sie dem Team vor diesem Tag.\n\n{link}"
    ),
    "ja": (
        "{repo} へのアクセスはあと {days} 日で終了します\n\n{name} 様\n\n{repo} へのアクセスは {date} に終了します（あと {days} "
        "日）。その後も必要な場合は、それまでにチームへご連絡ください。\n\n{link}"
    ),
    "ar": (
        "ينتهي وصولكم إلى {repo} خلال {days} من الأيام\n\nمرحبًا {name}،\n\nينتهي وصولكم إلى {repo} في {date}، "
        "أي خلال {days} من الأيام. إن كنتم ما زلتم تحتاجون إليه بعد ذلك، فراسلوا الفريق قبل هذا اليوم.\n\n{link}"
    ),
}
_ENDED: Final[Mapping[str, str]] = {
    "en": (
        "Your access to {repo} has ended\n\nHello {name},\n\nYour access to {repo} has ended. You may ask again "
        "at any time:\n\n{link}"
    ),
    "zh": "您对 {repo} 的访问权限已到期\n\n{name}，您好：\n\n您对 {repo} 的访问权限已到期。您可以随时重新申请：\n\n{link}",
    "es": (
        "Su acceso a {repo} ha terminado\n\nHola, {name}:\n\nSu acceso a {repo} ha terminado. Puede volver a "
        "solicitarlo en cualquier momento:\n\n{link}"
    ),
    "fr": (
        "Votre accès à {repo} a pris fin\n\nBonjour {name},\n\nVotre accès à {repo} a pris fin. Vous pouvez "
        "refaire une demande à tout moment :\n\n{link}"
    ),
    "de": (
        "Ihr Zugang zu {repo} ist beendet\n\nGuten Tag {name},\n\nIhr Zugang zu {repo} ist beendet. Sie können "
        "jederzeit erneut anfragen:\n\n{link}"
    ),
    "ja": "{repo} へのアクセスは終了しました\n\n{name} 様\n\n{repo} へのアクセスは終了しました。いつでも再申請できます。\n\n{link}",
    "ar": (
        "انتهى وصولكم إلى {repo}\n\nمرحبًا {name}،\n\nانتهى وصولكم إلى {repo}. يمكنكم تقديم طلب جديد في أي "
        "وقت:\n\n{link}"
    ),
}

LETTER_TEXTS: Final[Mapping[LetterKind, Mapping[str, str]]] = {
    LetterKind.RECEIVED: _RECEIVED,
    LetterKind.NEEDED: _NEEDED,
    LetterKind.REMINDER: _REMINDER,
    LetterKind.ENDS: _ENDS,
    LetterKind.ENDED: _ENDED,
}
"""The text of each kind in each language of `messages.reason_texts.LANGUAGES`."""
