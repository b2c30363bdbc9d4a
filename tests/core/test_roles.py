"""A field's role follows from its label and its type, in the languages that labels come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_gate.core.forms.roles import Role, role_of

TEXT_LABELS = {
    Role.EMAIL: [
        "Email", "E-Mail", "e mail address", "Your Eamil", "emial", "Work email (enter your personal email if none)",
        "Official email (must match primary email in your Hugging Face account)", "Institution Email", "邮箱", "電子郵件 郵箱",
        "メールアドレス", "이메일", "Correo electrónico", "Adresse courriel", "Электронная почта", "البريد الإلكتروني", "อีเมล",
    ],
    Role.AFFILIATION: [
        "Affiliation", "affiliation (no abbreviations)", "Affiliation (Lab/group/division and Institution)", "Company name",
        "Company or university if applicable", "Organization or Entity you are affiliated with", "所屬單位(Affiliation)", "单位",
        "School", "companyName", "所属", "소속", "Организация", "جامعة", "สังกัด", "Unternehmen", "Université", "Empresa",
    ],
    Role.PURPOSE: [
        "Intended use", "Usecase", "Use-case", "Please explain your intended research use", "I want to use this dataset for",
        "Briefly, what research or project do you intend to use this data for?", "Reason for access", "Research interest",
        "Why do you need it?", "How will you use the model?", "用途", "使用目的", "利用目的", "사용 목적", "Цель использования",
        "الغرض", "उद्देश्य", "วัตถุประสงค์", "Verwendungszweck", "Motivo de acceso", "Mục đích sử dụng", "Tujuan",
    ],
    Role.NAME: [
        "Name", "Full name (first and last)", "First Name", "last_name", "Your Name", "PI/Advisor", "fullname", "姓名(Name)",
        "Principal Investigator/Advisor's Name", "Team Leader Name", "氏名", "이름", "Имя", "ФИО", "الاسم", "ชื่อ", "Vorname", "Nom",
    ],
    Role.COUNTRY: ["Country", "Country / Region", "City and Country", "Country or state you are located in", "国家", "국가", "Страна", "ประเทศ"],
    Role.JOB: ["Job title", "Position", "Role", "Academic Status", "I am a", "职位", "직책", "Должность", "Your role"],
    Role.BIRTH_DATE: ["Date of birth", "Birthdate", "DOB", "生日(Date of birth)", "生年月日", "생년월일", "Geburtsdatum"],
    Role.OTHER: [
        "", "?", "Website", "Company Website URL", "Research or project page", "Phone", "Discord user", "HF username",
        "FFR Username", "Team Members (comma-separated)", "Challenge team name", "Type of affiliation", "Affiliation type",
        "Research Field", "Models to be evaluated", "extra_gated_fields", "Project name", "Name of the dataset",
        "Receive email updates and promotions on our products?", "电话", "How did you hear about us?",
    ],
}  # fmt: skip

CONSENT = [
    "I agree to the terms above", "You AGREE to use this dataset for non-commercial use ONLY",
    "By clicking Submit below I accept the terms of the license", "I will not redistribute the data",
    "I understand that this is an experimental dataset", "I have read the License and agree with its terms",
    "I agree to share my name, email address and username with the publisher",
    "I confirm that I am over 18 years old and agree to the terms", "By clicking, I acknowledge that I am an adult of legal age",
    "Ich stimme den Bedingungen zu", "J'accepte la licence", "Acepto los términos", "Я согласен с условиями", "我同意以上条款",
    "同意します", "동의합니다", "أوافق على الشروط", "Tôi đồng ý", "ข้าพเจ้ายอมรับเงื่อนไข", "按下送出表示您同意社群授權同意書",
]  # fmt: skip
NO_CONSENT = [
    "May we contact you about future updates?", "I am interested in receiving updates", "I agree to receive your newsletter",
    "If we didn't receive the email with EULA, your access will not be approved", "I am 18 years old or older",
    "PhysioNet credentialed", "I have signed the EULA and sent it to the organizers", "I confirm that I am over 18", "Student",
    "I confirm that I have a valid, active NDA",
]  # fmt: skip


@pytest.mark.parametrize(("label", "role"), [(label, role) for role, labels in TEXT_LABELS.items() for label in labels])
def test_a_text_field_has_the_role_that_its_label_asks_for(label: str, role: Role) -> None:
    assert role_of(label) is role


@pytest.mark.parametrize("label", CONSENT)
def test_a_checkbox_that_reads_as_an_agreement_is_consent(label: str) -> None:
    assert role_of(label, "checkbox") is Role.CONSENT


@pytest.mark.parametrize("label", NO_CONSENT)
def test_marketing_warnings_and_facts_are_no_consent(label: str) -> None:
    assert role_of(label, "checkbox") is Role.OTHER


def test_the_type_counts_before_the_label() -> None:
    assert role_of("Where do you live", "country") is Role.COUNTRY
    assert role_of("Country", "ip_location") is Role.OTHER
    assert role_of("Specific date", "date_picker") is Role.OTHER
    assert role_of("Date of birth", "date_picker") is Role.BIRTH_DATE
    assert role_of("Email", "checkbox") is Role.OTHER
    assert role_of("Intended use", "select") is Role.PURPOSE


def test_text_that_asks_for_a_yes_is_consent() -> None:
    assert role_of("Do you agree to cite us?") is Role.CONSENT
    assert role_of("I agree to the license", "select") is Role.CONSENT


def test_case_width_markup_and_line_breaks_do_not_matter() -> None:
    for label in ("EMAIL", "Ｅｍａｉｌ", "**Email**", "Work\n  email", "<b>email</b>", "e\N{NON-BREAKING HYPHEN}mail"):
        assert role_of(label) is Role.EMAIL


@given(st.text(), st.sampled_from(["text", "checkbox", "select", "country", "date_picker", "ip_location", "", "x"]))
def test_any_label_has_a_role(label: str, kind: str) -> None:
    assert role_of(label, kind) in Role
