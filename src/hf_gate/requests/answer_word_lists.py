"""Word lists of `answer_quality` in many languages: words without content, and patterns of labels."""

from __future__ import annotations

# Words that decline to answer. The hard ones do so even as a name or an acronym.
HARD_REFUSALS = """
n a|none|null|undefined|unknown|nothing|not applicable|not available|test|tests|test test|testing testing|testtest
asdf|foo|foobar|lorem ipsum|no name|noname|xxx|xyz|dummy
无|無|没有|沒有|暂无|暫無|不适用|不適用|测试|測試|なし|無し|特になし|とくになし|該当なし|ありません|テスト|てすと|없음|없습니다|해당없음|해당 없음|테스트
нет|ничего|тест|отсутствует|н д|немає|لا يوجد|لا شيء|اختبار|تست|אין|ללא|בדיקה|कोई नहीं|कुछ नहीं|टेस्ट
কিছু না|নেই|ไม่มี|ทดสอบ|ไม่ระบุ|ບໍ່ມີ|គ្មាន|មិនមាន|မရှိ|မရှိပါ|κανενα|τιποτα|არაფერი|არ აქვს|ոչինչ|չկա|የለም|இல்லை|లేదు
ഇല്ല|ಇಲ್ಲ|නැත
"""
REFUSALS = """
na|nan|nil|nah|no|nope|non|tbd|todo|whatever|anything|something|idk|i dont know|dont know|not sure
no idea|no comment|no answer|not yet|not known|nothing special|nothing much|no reason|not telling|none of your business
lol|haha|hehe|hmm|meh|blah|bla|bla bla|blah blah|void|empty|blank|skip|pass|stuff|sample|example|abc|abcd|abcde|abcdef
abc123|test1|test123|lorem|ipsum|aoeu
azert|azerty|azertyuiop|qsdf|qsdfg|qsdfgh|qsdfghjklm|wxcv|wxcvbn|qwertz|qwertzuiop|yxcv|yxcvbnm
nada|ninguno|ninguna|ningun|no aplica|no se|no tengo|prueba|nao|nenhum|nenhuma|nao se aplica|nao tenho|sem|teste
aucun|aucune|rien|neant|sans objet|sans|nein|kein|keine|keiner|keines|nichts|entfallt|nicht zutreffend|keine angabe
nessuno|nessuna
niente|nulla|nee|geen|niets|nvt|brak|nie|nic|nie dotyczy|zadny|zadna|zadne|ne|nej|ingen|inget|ingenting|ei|ei ole
ei mitaan|nincs|semmi|nem
niciunul|niciuna|nimic|yok|hayir|hic|khong|khong co|khong biet|tidak|tidak ada|tiada|wala|hakuna|nema|nista|ma fi|mafi
nai|nahi|nei
空|略|没|沒|不知道|不清楚|未知|随便|隨便|保密|不告诉你|无可奉告|你猜|哈哈|呵呵|啊|嗯|阿斯蒂芬|阿斯顿发|撒旦法|啊实打实|未定|ない|無い|わからない|秘密|ひみつ
모름|몰라|몰라요|없다|없어요|없슴|무|비밀|не знаю|неизвестно|нету|никакой|никакая|не применимо|не указано|ні|нічого|не відомо|няма|неће
لا|ليس|ليس لدي|لا اعرف|لا احد|غير متوفر|غير معروف|ندارم|ندارد|هيچ|هیچ|نمی دانم|نمیدانم|نیست|نه|نہیں|کوئی نہیں|לא|כלום
שום דבר|לא רלוונטי|לא יודע
नहीं|नही|पता नहीं|कुछ भी नहीं|না|জানি না|తెలియదు|தெரியாது|ไม่|ไม่รู้|ไม่ทราบ|ไม่บอก|ບໍ່|ບໍ່ຮູ້|ទេ|မသိ|မဟုတ်|οχι|δεν
κανεναs|κανενας|καμια|არა|ոչ|չգիտեմ|አይ
"""

# A status given in place of an affiliation or a purpose.
STUDENT_WORDS = """
student|students|a student|i am student|i am a student|im student|im a student|estudiante|alumno|alumna|etudiant
etudiante|studentin|studente|studentessa|estudante|aluno|aluna
ogrenci|sinh vien|mahasiswa|mahasiswi|pelajar|uczen|diak|opiskelija|学生|學生|我是学生|我是學生|大学生|學生黨|学生党|がくせい|大学生です|学生です|학생|대학생
студент|студентка|учащийся
طالب|طالبة|دانشجو|طالب علم|סטודנט|סטודנטית|תלמיד|छात्र|छात्रा|विद्यार्थी|ছাত্র|ছাত্রী|শিক্ষার্থী|மாணவர்|விद్యార్థి
విద్యార్థి|นักศึกษา|นักเรียน|ນັກສຶກສາ|និស្សិត|ကျောင်းသား|φοιτητης|φοιτητρια|სტუდენტი|ուսանող|ተማሪ
"""

YES_OR_NO = """
yes|y|yep|yeah|no|n|ok|okay|sure|true|false|agree|agreed|i agree|accept|i accept|accepted|confirmed|on|si|sim|nao|oui
non|ja|nein|nee|nej|nie|tak|evet|hayir
是|否|不是|同意|不同意|好|好的|可以|有|无|没有|はい|いいえ|同意します|예|네|아니요|아니오|동의|да|нет|согласен|согласна|так|ні|نعم|لا|موافق|بله|خیر|כן|לא|हाँ
हां|नहीं|জি|হ্যাঁ|না|ใช่|ไม่|ναι|οχι|კი|არა|այո|ոչ
"""
GREETINGS = (
    "yes|y|yep|yeah|ok|okay|sure|hi|hello|hey|please|thanks|thank "
    "you|good|nice|你好|您好|谢谢|好|好的|是|可以|はい|네|예|да|привет|نعم|مرحبا|כן"
)

# Generic words of a purpose.
GENERIC_WORDS = """
research researches researching researcher researchers study studies studying studie learn learning learner education
educational educate academic academics academia
project projects work working job use uses using used usage useful purpose purposes personal private test testing tests
tested try trying trial experiment experiments experimenting experimental
evaluation evaluate evaluating fun hobby interest interests interested interesting curiosity curious explore exploring
exploration development develop developing developer
thesis dissertation paper papers phd master masters msc bsc bachelor degree university school college class course
courses homework assignment science scientific
commercial noncommercial business company internal model models dataset datasets data download downloading access
application applications app apps product demo poc prototype
finetune finetuning finetuned fine tune tuning training train inference deploy deployment machine deep ai ml general
various different purely local locally
student students teaching teach practice playing play play around check checking see look knowledge self own community
support help
recherche recherches etude etudes projet projets apprentissage apprendre travail usage memoire universitaire academique
scientifique
forschung forschungszwecke forschungszwecken studium lernen lernzwecke projekt projekte arbeit test tests
abschlussarbeit masterarbeit bachelorarbeit doktorarbeit wissenschaft wissenschaftlich privat ausprobieren testen
bildung
investigacion investigaciones estudio estudios proyecto proyectos aprender aprendizaje trabajo tesis academico academica
academicos academicas educacion educativo educativos fines uso pruebas
pesquisa pesquisas estudo estudos projeto projetos aprendizado trabalho tcc academico educacional mestrado doutorado
tese
ricerca ricerche studio studi progetto progetti apprendimento tesi lavoro didattica universita
onderzoek onderzoeken leren scriptie badania badanie nauka praca studia projekty forskning studier utbildning tutkimus
opiskelu kutatas tanulas vyzkum studium cercetare invatare proiect
arastirma calisma calismasi ogrenme ogrenmek egitim proje tez odev akademik bilimsel amacli kisisel
nghien cuu hoc tap hoc do an luan van khoa thu nghiem muc dich du an
penelitian riset belajar pembelajaran skripsi tugas akhir proyek kuliah pendidikan tesis keperluan akademik
исследование исследования исследований исследованию исследовательский исследовательские исследовательских учеба учебы
учебу учебе учебный учебные учебных обучение обучения обучению проект проекта проекты наука науки научный научные
научных
научная научной работа работы работу работе диплом диплома дипломная дипломной курсовая тест тестирование тестирования
эксперимент эксперименты изучение изучения цели целей целях личный личные личных использование использования образование
дослідження дослідженнь досліджень навчання проект проєкт наука наукові робота роботи диплом
بحث بحثي بحثية ابحاث البحث البحوث بحوث دراسة دراسي دراسات الدراسة تعلم تعليم التعليم التعلم تعليمي تعليمية مشروع المشروع
تجربة اكاديمي اكاديمية علمي علمية العلمي تخرج التخرج استخدام شخصي اغراض
تحقيق تحقیق تحقیقات پژوهش پژوهشی تحقیقاتی یادگیری آموزش اموزش آموزشی مطالعه پروژه پایاننامه پایان نامه دانشگاه علمی شخصی
تحقیق مطالعہ تعلیم
מחקר מחקרים לימודים לימוד למידה פרויקט עבודה תזה אקדמי אקדמית אישי שימוש ניסוי ניסויים
शोध अनुसंधान अध्ययन पढ़ाई सीखना सीखने शिक्षा परियोजना प्रोजेक्ट परीक्षण काम व्यक्तिगत शैक्षणिक
গবেষণা গবেষণার পড়াশোনা শিক্ষা শেখা শেখার প্রকল্প প্রজেক্ট কাজ কাজের থিসিস
ஆய்வு ஆராய்ச்சி ஆய்வுக்காக ஆராய்ச்சிக்காக படிப்பு கற்றல் கல்வி திட்டம் పరిశోధన అధ్యయనం చదువు నేర్చుకోవడం ప్రాజెక్ట్
ഗവേഷണം പഠനം ಸಂಶೋಧನೆ ಅಧ್ಯಯನ સંશોધન અભ્યાસ ਖੋਜ ਅਧਿਐਨ
පර්යේෂණ පර්යේෂණය අධ්‍යයනය අධ්‍යාපනය ඉගෙනීම
ερευνα ερευνας ερευνητικη ερευνητικο μελετη μελετης μαθηση εργασια εργασιας διπλωματικη πτυχιακη εκπαιδευση σπουδες
ακαδημαικη προσωπικη χρηση σκοπους
კვლევა კვლევის კვლევითი სწავლა სწავლის სწავლება პროექტი ნაშრომი დიპლომი მიზნით հետազոտություն հետազոտության ուսում
ուսումնասիրություն կրթություն նախագիծ աշխատանք
ጥናት ምርምር ትምህርት ፕሮጀክት ለጥናት ለምርምር ለትምህርት
"""
# Words that carry no content: articles, pronouns, prepositions, wishes.
STOP_WORDS = """
a an the i im we us my our me mine to for of in on with without and or is am are be been was it its this that these
those your you yours he she they them will would want wanna wants wish like need needs
please kindly pls plz just only some any by at from as can could may do doing does so if not new give get got have has
had let make thank thanks there here about into very all also more non one
le la les un une des du de d l et ou pour sur avec dans en je j nous mon ma mes notre ce cette est souhaite veux
voudrais s il vous plait
der die das den dem ein eine einen einer und oder fur zu zum zur im in mit von ich wir mein meine meinen ist bitte
mochte will nur als auf bei
el los las lo un una unos y o para por con en del al mi mis nuestro quiero quisiera me su es solo que se
o os as um uma e ou para por com em no na do da dos das meu minha quero eu que
il lo gli i uno e o per con nel nella di del della mio mia voglio che
het een en of voor met in van mijn ik wij is w z na do i dla oraz moj moje to og och for med i min mitt jag vill att
icin ve bir ile bu benim de da istiyorum ben toi muon de va cua cho la mot cac trong voi su dung untuk dan yang di
dengan saya ingin ini pada dari
для и в на с по к о из от при у мне мой моя моей моего мою мои я мы хочу нужно нужен нужна это как что просто только
пожалуйста или за мета та з до мені це щоб
في من على الى عن مع هذا هذه و او ان لي انا نحن اريد ل ب لل لاجل من اجل برای در از به با و این من می خواهم خواهم را که
است کے کی کا لیے میں ہے
של על את עם אני אנחנו רוצה זה או גם לצורך עבור בשביל
के की का में से पर और लिए है हूं मैं मेरा मेरे मेरी यह चाहता চাহি এর জন্য এবং আমি আমার এই করতে করার থেকে
για και το τα τη την του της των με σε στο στη στην απο ο η οι ενα μια μου θελω να
და მე ჩემი ჩემს მინდა რომ ამ համար և ու իմ ես եմ ለ እና ነው የ
"""
# Generic parts of texts without spaces. Longer parts are matched first.
UNSPACED_GENERIC = """
研究|學習|学习|科研|学术|學術|使用|用于|用於|用途|测试|測試|试用|試用|试试|试一下|体验|體驗|目的|项目|項目|專案|课题|課題|论文|論文|毕业设计|毕业|畢業|毕设|本科|硕士|博士|碩士|实验|實驗|工作|个人|個人
商业|商業|非商业|模型|数据集|数据|資料集|資料|下载|下載|申请|申請
访问|权限|教学|教學|教育|探索|了解|瞭解|开发|開發|应用|應用|兴趣|興趣|爱好|学校|大学|课程|作业|自己|自用|看看|玩玩|科学|科學|训练|訓練|微调|学一下|需要|希望|想要|进行|進行|为了|為了|可以|我们|我們|一个
一下|这个|這個|相关|相關|方面
我|想|要|用|它|做|的|了|在|是|和|与|與|及|对|對|为|為|来|來|去|将|將|把|本|该|此|请|請|下|仅|僅|供|于|於|中|以|等|并|某|有
勉強|学術|学習|利用|利用目的|試す|試したい|実験|卒業|修士|卒論|卒業論文|修論|卒業研究|授業|個人利用|評価用|趣味|興味|開発|検証|お試し|モデル|データ|データセット|プロジェクト|テスト|レポート|べんきょう|けんきゅう
がくしゅう|ために|ため|です|ます|したい|します|する|して|使い|使う|思い|思って|いただき|お願い|ください|こと
の|を|に|は|が|で|と|も|へ|た|い|し|か|な|お|て|ま|す
연구용|연구|학습용|학습|공부|목적|사용|이용|용도|교육|실험|테스트|시험|프로젝트|과제|논문|졸업|석사|박사|개인|개발|업무|참고|관심|학교|대학교|대학|모델|데이터셋|데이터|비상업적|학술|위해서|위해|위한|하려고
합니다|입니다|싶습니다|싶어요|하고|해보|하기|으로|에서|용으로|등|및|를|을|의|에|로|용
วิจัย|งานวิจัย|การวิจัย|การศึกษา|ศึกษา|เรียนรู้|การเรียนรู้|เรียน|การเรียน|ทดสอบ|การทดสอบ|ทดลอง|โครงการ|โปรเจค
วิทยานิพนธ์|ส่วนตัว|งาน|เพื่อ|สำหรับ|ใช้|ใช้งาน|การใช้งาน|ทำ|ต้องการ|อยาก|ขอ|และ|ใน|ของ|การ|ครับ|ค่ะ|มหาวิทยาลัย|โมเดล
ข้อมูล
ຄົ້ນຄວ້າ|ການຄົ້ນຄວ້າ|ວິໄຈ|ສຶກສາ|ການສຶກສາ|ຮຽນ|ການຮຽນ|ທົດລອງ|ໂຄງການ|ເພື່ອ|ສຳລັບ|ໃຊ້|ການ
ស្រាវជ្រាវ|ការស្រាវជ្រាវ|សិក្សា|ការសិក្សា|រៀន|ការរៀន|គម្រោង|សាកល្បង|សម្រាប់|ដើម្បី|ប្រើ|ការ
သုတေသန|သုတေသနအတွက်|လေ့လာ|လေ့လာရန်|လေ့လာမှု|ပညာရေး|သင်ယူ|စမ်းသပ်|ပရောဂျက်|အတွက်|ရန်|မှု
ཞིབ་འཇུག|སློབ་སྦྱོང
"""

# Nouns for kinds of affiliations, without a name.
GENERIC_PLACES = """
university universities uni college school academy institute institution institutions company corporation firm business
enterprise startup lab labs laboratory organization organisation department faculty group team
office home house work workplace personal private me myself self own individual person people human internet online
academia academic industry industrial research researcher education engineering professor advisor teacher
undergraduate graduate postgraduate phd msc bsc master masters bachelor postdoc student students developer engineer
affiliation affiliated
universite universitat universitaet universidad universidade universita universiteit uniwersytet universitet univerzita
yliopisto egyetem universitate universite universitas universite universitesi dai hoc truong
entreprise ecole societe laboratoire firma unternehmen schule hochschule empresa escuela escola faculdade azienda scuola
ditta bedrijf firma szkola sirket okul cong ty perusahaan sekolah privat privado prive personnel particulier
университет компания институт школа лаборатория вуз фирма организация дом работа частное лицо університет компанія школа
جامعة الجامعة جامعه شركة الشركة شركه مدرسة معهد كلية دانشگاه شرکت مدرسه شخصی شخصي یونیورسٹی کمپنی אוניברסיטה חברה בית
ספר מכון פרטי
विश्वविद्यालय कॉलेज कंपनी स्कूल संस्थान বিশ্ববিদ্যালয় কলেজ কোম্পানি পরিবার பல்கலைக்கழகம் கல்லூரி நிறுவனம்
విశ్వవిద్యాలయం కళాశాల పరిశోధకుడు
πανεπιστημιο εταιρεια σχολειο σχολη ινστιτουτο ιδιωτης უნივერსიტეტი კომპანია სკოლა համալսարան ընկերություն դպրոց ዩኒቨርሲቲ
ኩባንያ ትምህርት ቤት
大学 大學 学校 學校 公司 研究所 研究院 实验室 實驗室 学院 學院 机构 機構 单位 單位 企业 企業 个人 個人 高校 研究生 本科生 博士生 硕士生 会社 企業 研究室 個人 大学院 無所属
대학교 대학 회사 학교 연구소 연구실 기업 개인 대학원 대학원생 มหาวิทยาลัย บริษัท โรงเรียน ส่วนตัว ມະຫາວິທະຍາໄລ ບໍລິສັດ សាកលវិទ្យាល័យ ក្រុមហ៊ុន
តက္ကသိုလ် တက္ကသိုလ် ကုမ္ပဏီ
"""

# Letters and short words of languages that write compounds as one word.
COMPOUNDING = r"[äöüßåøőű]|\b(fur|und|der|die|das|von|zur|zum|mit|och|til|voor|het|een|ja)\b"

# Neighbouring keys of common keyboard layouts, row by row.
KEY_ROWS = (
    "qwertyuiop", "asdfghjkl", "zxcvbnm",
    "qaz", "wsx", "edc", "rfv", "tgb", "yhn", "ujm",
    "йцукенгшщзхъ", "фывапролджэ", "ячсмитьбю", "фівапролджє",
    "ضصثقفغعهخحجد", "شسيبلاتنمكط", "شسیبلاتنمکگ", "ئءؤرلاىةوزظ",
    "שדגכעיחלךף", "זסבהנמצתץ", "ασδφγηξκλ", "ζχψωβνμ",
    "ฟหกดเ้่าสวง", "ๆไำพะัีรนยบล", "ผปแอิืทมใฝ", "ასდფგჰჯკლ", "ქწერტყუიოპ",
)  # fmt: skip
SHORT_RUNS = "asd qwe zxc wasd фыв йцу ячс שדגכ شسيب ضصثق ασδ ฟหก"
# Runs of keys that are words.
RUN_WORDS = "wert trew ytre мить"

NUMBER_NAMES = ("42", "360", "58", "51", "3", "01", "1991")
"""Names of organisations in digits: 42 is a school, 360 and 58 are companies."""

LABEL_ASKS_NUMBER = (
    r"number|no\.|phone|tel|mobile|fax|year|age\b|count|how (many|much|long|old)|\bgpus?\b|\bids?\b|orcid|zip"
    r"|post ?code|"
    r"amount|size|date|version|score|duration|hours|days|months|电话|電話|手机|手機|年|号|號|番号|번호|전화|телефон|номер|год|"
    r"هاتف|رقم|טלפון|मोबाइल|फ़ोन|โทร|หมายเลข|teléfono|telefono|téléphone|telefon|nummer|número|numéro"
)
LABEL_IS_OPTIONAL = (
    r"\bif (any|none|not|no|applicable|you have|there|available|exists?)\b|\bif applicable\b|optional|n/a"
    r"|\bor none\b|leave (it )?blank|"
    r"where applicable|可选|选填|選填|如有|如无|若无|若無|没有(则|請|请)填|任意|なければ|ない場合|あれば|선택|없으면|없을 경우|если (есть|нет|имеется)"
    r"|необязательно|"
    r"falls|wenn vorhanden|si (applicable|possible|aucun|existe|aplica|no)|facultatif|opcional|facultativo"
    r"|se (applicabile|houver)|varsa|nếu (có|không)|jika ada|"
    r"إن وجد|اختياري|إذا|اگر|אם (יש|אין)|यदि|ถ้ามี|หากมี"
)
LABEL_ASKS_YES = (
    r"^(do|does|did|are|is|was|were|have|has|had|will|would|can|could|may|should|shall)\b|yes ?/ ?no"
    r"|\(y/n\)|是否|有无|有無|吗|여부|есть ли"
)
LABEL_ASKS_DATE = (
    r"\bdates?\b|\bdeadline\b|\b(which|what|last|first) day\b|\buntil\b|\bexpir|\bwhen\b|"
    r"datum\b|\bbis wann\b|\bwann\b|\bfecha\b|\bcuándo\b|\bquando\b|\bquand\b|дата|когда|срок|"
    r"日期|截止|何时|何時|期日|日付|いつ|날짜|기한|언제|تاريخ|tarih|tanggal|ngày|วันที่|तारीख"
)
LABEL_IS_A_DATE = r"\b(yyyy|jjjj|aaaa|tt|dd|mm)[-/. ](yyyy|mm|dd)\b"
LABEL_IS_QUESTION = r"[?？؟]\s*$"
LABEL_IS_ACCOUNT = (
    r"user|handle|account|nick|login|\bids?\b|discord|github|profile|page|member|leader|linkedin|orcid|scholar"
    r"|site|url|telegram|"
    r"wechat|kaggle|slack|twitter|name|用户|用戶|账号|帳號|昵称|ユーザー|アカウント|아이디|계정|логин|аккаунт|ник"
)
PLACE_PARTS = (
    r"univ|instit|school|college|labs?\b|\binc\b|\bltd\b|\bgmbh\b|\bllc\b|corp|company|tech|research"
    r"|group|大学|大學|公司|学院|研究|대학|회사|университет|جامعة"
)
