"""The roles of form fields, recognised by label and type."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

from hf_gate.base.normalization import normalize


def _join_patterns(*patterns: str) -> str:
    return "|".join(patterns)


# Verbs of an agreement, for checkboxes and for text or select fields that ask for a yes.
AGREES = _join_patterns(
    r"\bagree(?!ment)|\baccept|\bconsent\b|\backnowledg|\bundertake\b|\bpledge\b|\bpromise\b|\bcommit to\b",
    r"\babide\b|\bcomply\b",
    r"\b(will|shall|must|do|am|may) not\b|\bwon'?t\b|\bnever\b.*\b(use|share|distribut|identif)",
    r"\bwill (only )?(use|cite|keep|delete|follow|respect|treat|credit|inform|notify)\b",
    r"\bunderst(and|ood)\b|\bhave read\b|\bread and\b|\bterms of (use|service)\b|\bonly for\b",
    r"\b(stimme|akzeptiere|verpflichte|einverstanden|willige)\b|\bj.?accepte|\bje (m.engage|reconnais)",
    r"\bd.accord\b",
    r"\bacepto|\bestoy de acuerdo|\bme comprometo|\baceito|\bconcordo|\baccetto|\bacconsento|\bakkoord\b",
    r"\bga akkoord",
    r"\bakceptuj|\bzgadzam|\bkabul ed|\bonaylıyorum|\bđồng ý|\bsetuju\b|\bmenyetujui",
    r"соглас|принимаю|обязуюсь|погоджуюсь|приймаю|أوافق|أقبل|أتعهد|موافق|می.?پذیرم|موافقم|מסכי|מאשר|सहमत",
    r"স্বীকার|সম্মত",
    r"同意|接受|承诺|承諾|遵守|了承|誓約|동의|수락|준수|ยอมรับ|ยินยอม|ตกลง|συμφων|αποδέχομαι|ვეთანხმები|համաձայն|እስማማለሁ",
)
# Weaker verbs: an agreement, unless a plain fact follows.
ATTESTS = _join_patterns(
    r"\b(hereby|confirm|certify|declare|attest|affirm|warrant|bestätige|confirmo|confirme|dichiaro)\b",
    r"подтвержда|确认|確認|확인",
)
FACT = _join_patterns(
    r"\b(years? old|years? of age|of legal age|over (the age of )?\d\d|1[368]\+|\d\d or older|an adult)\b",
    r"\b(have|has|holds?) (a |an )?(valid|active|signed|submitted|sent|registered|completed|received|been)\b",
    r"\bcredentialed\b",
    r"^i am (a|an|the|affiliated|employed|enrolled|based)\b|满18|已满|18歳|18세",
)
MARKETING = _join_patterns(
    r"\b(receiv\w*|get|send me|subscribe|sign up|opt[ -]?in|interested in)\b"
    r".*\b(updates?|news\w*|promotion\w*|market\w*|offers?|emails?)\b",
    r"\bnewsletter|\bmailing list\b|\bmay we contact\b|\bcontact(ed)? (you|me)\b|\bbe contacted\b",
    r"\bmarketing\b",
)
TERMS = _join_patterns(
    r"\b(licen[cs]e|terms|polic(y|ies)|conditions|agreement|eula)\b|条款|條款|规约|規約|약관|лицензи|услови"
)
WARNING = _join_patterns(r"^(if|note|warning|please note|attention|important)\b")


# The first match decides. `other` excludes labels that only resemble one of the roles after it.
TEXT_ROLES: tuple[tuple[str, str], ...] = (
    (
        "birth_date",
        _join_patterns(
            r"\b(date|year|day|month) of birth|\bbirth ?-?(date|day|year)|\bdob\b|\bborn\b",
            r"geburts(datum|tag|jahr)|date de naissance",
            r"né\(?e?\)? le|fecha de nacimiento|data d[ei] nas|data di nascita|geboortedatum|data urodzenia",
            r"doğum tarihi|ngày sinh",
            r"tanggal lahir|дата рожд|день рожд|дата народж|تاريخ الميلاد|تاریخ تولد|תאריך לידה",
            r"जन्म ?(तिथि|दिन)|জন্ম",
            r"生日|出生|生年月日|誕生日|생년월일|생일|วันเกิด|γέννησης",
        ),
    ),
    (
        "email",
        _join_patterns(
            r"\be[ -]?mails?\b|\be[amil]{4,5}\b|\bmail\b(?! list)|\bmail (address|id)\b|\bcorreo\b|courriel",
            r"adresse mail",
            r"e-?posta|эл\w*\.? ?почт|электронн\w+ (почт|адрес)|\bпочта\b|имейл|بريد|ایمیل|ای ?میل|דוא.?ל",
            r"אימייל|मेल|ইমেইল|மின்னஞ்சல்",
            r"邮箱|郵箱|邮件|郵件|电邮|電郵|信箱|メール|이메일|전자우편|메일|อีเมล|ηλεκτρονικ",
        ),
    ),
    (
        "other",  # pages, accounts, numbers, teams: never the person's name, job or purpose
        _join_patterns(
            r"\b(web ?-?(site|page)s?|home ?page|(project|research|profile|personal) page)\b",
            r"\b(urls?|links?|orcid|doi|scholar|linkedin)\b",
            r"\b(user ?-?(name|id)s?|handle|nick ?-?name|login|account)\b",
            r"\b(discord|github|telegram|wechat|slack|twitter|kaggle)\b",
            r"\b(phone|tel|telephone|mobile|fax|address|postcode|zip)\b",
            r"\b(start|end|completion|expiry|today'?s|specific|current) date\b",
            r"\bteam (name|members?|id)\b|\bmembers\b",
            r"\b(project|model|dataset|data set|file|paper|course|challenge|team|group) (name|title)\b",
            r"\b(name|title) of (the |your )?(project|model|dataset|paper|course|team|challenge)\b",
            r"\b(type|kind|category|size) of\b",
            r"\b(affiliation|organi[sz]ation|institution|company) (type|size|kind)\b",
            r"\bhow (did|many|much|often|long)\b|\bnumber of\b",
            r"用户名|帳號|账号|网址|網址|主页|电话|電話|手机|手機|队名",
            r"ユーザー名|アカウント|電話番号|사용자 ?이름|아이디|전화|телефон|логин|هاتف",
        ),
    ),
    (
        "job",
        _join_patterns(
            r"\bjob\b|\bposition\b|\boccupation\b|\bprofession\b",
            r"\b(current |your |professional |academic )?role\b|^title$|\b(your|academic) title\b",
            r"\bacademic (status|level|rank)\b|\bi am an?\b|\bwho are you\b",
            r"\b(career|education\w*) (stage|level)\b|\bemployment\b|\bdesignation\b",
            r"\bberuf\b|\bfunktion\b|\bposte\b|\bmétier\b|\bfonction\b|\bcargo\b|\bpuesto\b|\bocupación\b",
            r"\bprofiss|\bprofessione\b|\bruolo\b",
            r"\bstanowisko\b|\bfunctie\b|\bmeslek\b|\bunvan|chức (vụ|danh)|nghề nghiệp|\bjabatan\b",
            r"\bpekerjaan\b|должност|профессия|посада",
            r"الوظيفة|المسمى الوظيفي|المهنة|شغل|سمت|תפקיד|पद(?!्)|पेशा",
            r"職業|职业|职位|職位|職稱|职称|职务|身份|役職|職種|직책|직업|직위",
            r"직급|ตำแหน่ง|อาชีพ|επάγγελμα",
        ),
    ),
    (
        "purpose",
        _join_patterns(
            r"\bpurpose|\bintend|\bintent|\buse ?-? ?cases?\b|\busecase|\busage\b|\bwhat (will|do|are) you\b",
            r"\bhow (will|do|are) you\b|\bwhy\b",
            r"\breasons?\b|\bplan(s|ned)?\b|\bwant to use\b|\bwill (you )?use\b|\bto use\b|\bused? for\b",
            r"\bmotivation\b|\bjustification\b|\bobjectives?\b",
            r"\bgoals?\b",
            r"\bresearch (interests?|question|topic|description|project|plan|use|summary|statement)\b",
            r"\bdescri(be|ption)\b.*\b(research|project|use|work)\b",
            r"\b(explain|tell us|specify)\b.*\b(research|project|use|work)\b",
            r"\bapplications? (area|domain|scenario)\b|^use$|\bproject description\b",
            r"zweck|\bverwendung|\bnutzung|\bwofür\b|\bwarum\b|\butilisation\b|\bobjectif|\bfinalité",
            r"\braison\b|\bmotif\b|\bpourquoi\b",
            r"\bpropósito|\bfinalidad|\bmotivo|\buso\b|\bobjetivo|\bpor qué\b|\bpara qué\b|\bscopo\b",
            r"\butilizzo\b|\bfinalità|\bperché\b",
            r"\bdoel\b|\bgebruik|\bwaarom\b|\bcel\b|\bzastosowani|\bamaç|\bamacı|\bkullanım|mục đích|lý do",
            r"\btujuan\b|\bkeperluan\b|\balasan\b|\búčel|\bsyfte",
            r"\bцел[ьи]|назначени|использован|причин|зачем|\bмета\b|\bціль|використан|غرض|هدف|أهداف|سبب",
            r"استخدام|کاربرد|منظور|دلیل|استفاده|מטר[הת]|שימוש",
            r"उद्देश्य|प्रयोजन|उपयोग|কারণ|উদ্দেশ্য|ব্যবহার|நோக்கம்|ఉద్దేశ|ప్రయోజనం|අරමුණ|จุดประสงค์",
            r"วัตถุประสงค์|เหตุผล|ຈຸດປະສົງ|គោលបំណង|ရည်ရွယ်ချက်",
            r"σκοπ|χρήση|მიზანი|նպատակ|ዓላማ|用途|目的|理由|原因|使用(场景|場景|计划|方式)|利用|用于|목적|용도|이유|사유|활용",
        ),
    ),
    (
        "affiliation",
        _join_patterns(
            r"\baffiliat|\baffilation|\bafilia|\binstitut|\borgani[sz]ation|\borg\b|\bcompan(y|ies)",
            r"\bemployer\b|\buniversit|\bschool\b|\bcollege\b",
            r"\blab(oratory)?\b|\bdepartment\b|\bfaculty\b|\bentity\b|\bcorporation\b|\bfirm\b|\bagency\b",
            r"\bhospital\b|\bworkplace\b|\bteam/|\bbusiness\b",
            r"\bfirma\b|\bunternehmen\b|\bzugehörigkeit|\beinrichtung|\bhochschule\b|\bentreprise\b",
            r"\bétablissement\b|\bsociété\b|\borganisme\b",
            r"\bempresa\b|\binstitui|\borganiza|\bentidad\b|\bazienda\b|\bente\b|\bateneo\b|\bbedrijf\b",
            r"\binstelling\b|\bfirm[ay]\b|\buczelnia\b|\bkurum\b|\bşirket",
            r"đơn vị|cơ quan|công ty|trường|tổ chức|\binstansi\b|\bperusahaan\b|\blembaga\b|организаци|компани",
            r"университет|учрежден|место работы|вуз\b|установа|організаці",
            r"جهة|الجهة|مؤسسة|شركة|جامعة|الانتماء|سازمان|شرکت|دانشگاه|وابستگی|מוסד|ארגון|חברה|שיוך|אוניברסיטה",
            r"संस्था|संगठन|कंपनी|প্রতিষ্ঠান|নிறுவனம்|நிறுவனம்|సంస్థ",
            r"单位|單位|机构|機構|公司|学校|學校|组织|組織|院校|企业|企業|所属|所屬|隶属|勤務先|会社|大学|소속|기관|회사|학교|단체|สังกัด|หน่วยงาน|องค์กร",
            r"บริษัท|มหาวิทยาลัย",
            r"φορέας|οργανισμ|ίδρυμα|εταιρ|ორგანიზაცია|დაწესებულება|կազմակերպություն|ተቋም|ድርጅት|ສັງກັດ|ស្ថាប័ន",
            r"အဖွဲ့အစည်း",
        ),
    ),
    (
        "country",
        _join_patterns(
            r"\bcountr(y|ies)\b|\bnationality\b|\bnation\b|\bregion\b|\bland\b|\bpays\b|\bpaís|\bpaese\b",
            r"\bnazione\b|\bkraj\b|\bülke|quốc gia|\bnegara\b|\bstaat\b",
            r"\bстран|\bкраїна|الدولة|البلد|بلد|دولة|کشور|ملک|מדינה|ארץ|देश|দেশ|நாடு|దేశం|国家|國家|国籍|國籍|地区|國別|国名",
            r"국가|나라|국적|ประเทศ|χώρα|ქვეყანა|երկիր|አገር",
        ),
    ),
    (
        "name",
        _join_patterns(
            r"\b(full|first|last|given|family|middle|sur|fore|real|legal|your|contact|applicant|leader"
            r"|investigator|advisor"
            r"|supervisor)('?s)? ?-?names?\b",
            r"^(name|names|surname|firstname|lastname|fullname|forename)\b|\bsurname\b|\bname$|\bpi\b",
            r"\badvis[oe]r\b|\bsupervisor\b|\bprincipal investigator\b",
            r"\b(vor|nach|familien)name|\bnom\b|\bprénom|\bnombres?\b|\bapellidos?\b|\bnome\b|\bsobrenome\b",
            r"\bcognome\b|\bnaam\b|\bimię\b|\bnazwisko\b",
            r"\b(ad|adı|adınız|soyad\w*|isim)\b|họ (và )?tên|\btên\b|\bnama\b|\bnamn\b|\bnavn\b|\bnimi\b",
            r"\bjméno\b|\bимя\b|фамили|\bфио\b|\bім.я\b|прізвище|\bпіб\b",
            r"الاسم|\bاسم\b|نام(?!ه)|\bשם|नाम|নাম|பெயர்|పేరు|નામ|නම|姓名|名字|姓氏|名前|氏名|お名前|이름|성명|성함|ชื่อ|ຊື່|ឈ្មោះ",
            r"အမည်|όνομα|επώνυμο|სახელი|გვარი|անուն|ስም",
        ),
    ),
)

# Text and select fields that ask for a yes.
ASKS_FOR_YES = _join_patterns(
    r"^(do|will|can|are) you (\w+ )?(agree|accept|consent|acknowledge|understand)",
    r"^(i|you|we|by)\b.*\b(agree|accept|consent)\b",
)


class Role(StrEnum):
    """What a form field asks for. Policies use roles, because each form words its labels differently."""

    PURPOSE = "purpose"
    AFFILIATION = "affiliation"
    COUNTRY = "country"
    EMAIL = "email"
    NAME = "name"
    JOB = "job"
    BIRTH_DATE = "birth_date"
    CONSENT = "consent"
    OTHER = "other"


MAX_LABEL: Final = 500
"""Characters of a label that are read to guess what its field asks for."""

_TEXT_ROLES = tuple((Role(name), pattern) for name, pattern in TEXT_ROLES)
_BIRTH_DATE = _TEXT_ROLES[0][1]
_ROLE_OF_TYPE: dict[str, Role] = {"country": Role.COUNTRY, "ip_location": Role.OTHER, "email": Role.EMAIL}
_MARKUP = re.compile(r"[*_`~]+|<[^>]{0,80}>")


@lru_cache(maxsize=4096)
def role_of(label: str, field_type: str = "text") -> Role:
    """Return the role of a field.

    A country found by IP address is not stated by the requester, so its role is OTHER.
    """
    text = _normalize_label(label[:MAX_LABEL])
    if field_type in _ROLE_OF_TYPE:
        return _ROLE_OF_TYPE[field_type]
    if field_type == "checkbox":
        return Role.CONSENT if _is_agreement(text) else Role.OTHER
    if field_type == "date_picker":
        return Role.BIRTH_DATE if re.search(_BIRTH_DATE, text) else Role.OTHER
    if re.search(ASKS_FOR_YES, text) and _is_agreement(text):
        return Role.CONSENT
    if re.search(MARKETING, text):
        return Role.OTHER
    return next((role for role, pattern in _TEXT_ROLES if re.search(pattern, text)), Role.OTHER)


def _normalize_label(label: str) -> str:
    text = normalize("NFKC", label)[:MAX_LABEL].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    return " ".join(_MARKUP.sub(" ", text).casefold().split())


def _is_agreement(text: str) -> bool:
    if re.search(WARNING, text) or (re.search(MARKETING, text) and not re.search(TERMS, text)):
        return False
    if re.search(AGREES, text):
        return True
    return bool(re.search(ATTESTS, text)) and not re.search(FACT, text)
